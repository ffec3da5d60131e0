"""Topics about goods that come back: damaged, wrong, returned, refunded, exchanged."""

from typing import Final

from serving.embedded.corpus.topic import Topic, topic

_RETURN_ANSWER: Final = (
    "You can return the *{item}* within *30 days*: open My Orders, choose the item and print the"
    " label."
)

RETURN_TOPICS: Final[tuple[Topic, ...]] = (
    topic(
        "damaged",
        "I am *sorry* that the *{item}* is damaged. Send us a photo within *7 days* and we will"
        " replace it for free.",
        """
        (the|my) [new] {item} (arrived|came) (broken|damaged|cracked|scratched)
        (the|my) {item} (is|was) (broken|damaged|faulty|defective|cracked)
        i (got|received) a (broken|damaged|faulty|defective) {item}
        (the|my) {item} (does not|doesn't|will not|won't) (work|turn on|start) [anymore]
        (the|my) {item} stopped working
        what (do i do|can i do|should i do|now) if (the|my) {item} is (broken|damaged)
        you sent me a (broken|damaged) {item}
        (there is|i found|i see) a (scratch|hole|dent|crack) (in|on) (the|my) {item}
        (the|my|your) {item} (fell apart|is in pieces|was in pieces|has a hole|has a dent|is dead)
        (when i opened it|when it came|out of the box) the {item} was ...
            (broken|damaged|smashed|cracked)
        i opened the (box|package) and the {item} was (broken|damaged|in pieces)
        my {item} (broke|is broken) (after a day|today|already)
        (the|my) {item} (has|had) (a defect|a fault|a problem)
        ~ the new {item} you sent is cracked
        ~ the {item} was smashed when i opened the box
        """,
        weight=3,
    ),
    topic(
        "wrong_item",
        "I am *sorry* about the mix-up. Keep the box and call us at *555-0100*; we will send the"
        " right *{item}*.",
        """
        i (got|received) the wrong {item}
        you sent [me] the wrong {item}
        this is not the {item} [that] i ordered
        i ordered (a|the) {item} but got something else
        the wrong {item} (came|arrived)
        (there is|i have|i found) the wrong {item} in (the|my) (box|package|parcel)
        that is (not my|the wrong) {item}
        (the box|my box|the package) (has|had|contains) the wrong {item}
        (a different|another) {item} came than the one i ordered
        ~ that is the wrong {item} in my box
        """,
        weight=1.5,
    ),
    topic(
        "return_item",
        _RETURN_ANSWER,
        """
        how (do|can|could) i return (the|a|my|this) {item}
        (can|could|may) i return (the|a|my|this) {item}
        (i want|i would like|i'd like|i need) to return (the|a|my|this) {item}
        (i want|i would like|i'd like) to send (the|my|this) {item} back
        (can|may) i (bring|send|give) back (the|my|a) {item}
        return (the|my|a) {item}
        i (do not|don't) (like|want|need) (the|my|this) {item} [anymore]
        what is the return policy for (the|a) {item}
        how long do i have to return (the|a) {item}
        is it possible to return (the|a) {item}
        (what|how) (must|should|do) i do to (return|send back|give back) (the|a|my) {item}
        (what are the steps|what is the way) to return (the|a|my) {item}
        (i am|i'm) (not happy|unhappy|not satisfied) with (the|my|this) {item}
        (the|my|this) {item} (must|should|needs to) go back
        (the|my) {item} (is too big|is too small|is not what i wanted|does not fit)
        (take|please take) (back|this back) (the|my|this) {item}
        (i bought|i have|i got) (a|the|this) {item} (and|but) (want|need|would like) to return it
        returning (a|the|my) {item}
        (where|when) can i return (the|my|a) {item}
        ~ i wish to return (the|a) {item}, how does that work
        ~ my {item} has to go back to you
        ~ i am not happy with the {item} and want to return it
        """,
        weight=5,
    ),
    topic(
        "return_detail",
        _RETURN_ANSWER,
        """
        (can|may) i return (the|a|my) {item} after {n} days
        i bought (the|a|my) {item} {n} days ago, can i return it
        (can|may) i return (the|a|my|an) (opened|used|final-sale) {item} [after {n} days]
        i am a {tier} member, can i return (the|a|my) {item} [after {n} days]
        (can|may) i return (the|a|my) {item} without (a|the) receipt
        the {item} was a gift, can i return it
        (i want|i would like) to return {n} {plural} [from order {order}]
        (i want|i would like|i need) to return (the|my) {item} from [my] order {order}
        (return|send back) (two|three|four|five|my) {plural} [from order {order}]
        (i got|i received|i bought) a {item} {n} days ago (and want|and would like) to return it
        (my|the) {item} (of|in|from) order {order} (should|must) go back
        may i (send|give|bring) back a {item} [that] i bought {n} days ago
        ~ {n} days ago i got a {item}, may i send it back
        ~ my {item} from order {order} has to go back
        """,
        weight=2.5,
    ),
    topic(
        "return_general",
        "Most items can be returned within *30 days*. Open *My Orders* and choose Return to start.",
        """
        (what is|what's|tell me) your (return|returns) policy
        how (do|can) i return (something|an item|my order|a product|things)
        can i return (something|an item|my order|a product|things)
        how do returns work
        how long do i have to return (something|an item)
        i want to (return something|make a return|start a return)
        (returns|return policy|return)
        do you (accept|take) returns
        is there a return policy
        (what|which) (rules|conditions) (do you have|are there|apply) for (returns|returning things)
        (explain|describe|tell me about) (the|your) (return policy|returns|return rules)
        (sending|giving|bringing) (things|something|items) back
        (can|may|could) i (send|bring|give) (something|things|an order) back
        what if i do not like (my order|something|it)
        returns (info|information|help|rules)
        ~ what are the rules for sending things back
        ~ explain returns to me
        """,
        weight=2,
    ),
    topic(
        "refund",
        "Your *refund* goes back to the way you paid once your return has reached us.",
        """
        (when|how) (do|will|can) i get (a|my) (refund|money back)
        (where is|what about) my (refund|money)
        (i want|i need|i would like|give me) (a refund|my money back)
        how long (does|do) (a refund|refunds) take
        (can|could) i (get|have) (a refund|my money back)
        refund [please]
        do you (give|offer) refunds
        i want a refund for (the|my) {item}
        (can|could) i get a refund for (the|my) {item}
        (did|have|will) you (refund|refunded|pay back|paid back|send|sent) (me|my money)
        (how soon|how fast|how quickly|when) (will|do|can) i (be refunded|have my money|see my ...
            refund)
        (i am|i'm) (waiting for|missing) my (refund|money)
        (i never got|i did not get|still no) (my|a) (refund|money back)
        (pay me back|give my money back|refund me)
        (refund|money back) (for|of) (the|my) {item}
        ~ have you paid my money back
        ~ when do you pay the money back
        """,
        weight=2,
    ),
    topic(
        "exchange",
        "Yes, we can *exchange* the *{item}*. Start the exchange under My Orders.",
        """
        (can|could|may) i (exchange|swap) (the|my|a) {item} [for another one]
        (i want|i would like|i'd like|i need) to (exchange|swap) (the|my|a) {item}
        how (do|can) i (exchange|swap) (the|my|a) {item}
        exchange (the|my) {item}
        (can|could) i get another {item} instead of this one
        is it possible to exchange (the|a) {item}
        (swap|change|trade|exchange) (this|the|my|that) {item} [please|for me|for a new one]
        (i need|i want|i'd like) (a different|another|a new) {item} [instead of mine|than this one]
        (can|could) we (exchange|swap|trade) (the|my|this) {item}
        (exchanging|an exchange for|exchange of) (a|the|my) {item}
        the {item} i bought is (wrong|too small|too big), can i exchange it
        ~ is there a way to exchange my {item}
        ~ i need a different {item} than the one i bought, can we exchange it
        """,
        weight=2,
    ),
)
