"""Topics about an order: where it is, changing it, delivery, and sending things back."""

from typing import Final

from serving.embedded.corpus.topic import Topic, topic

_LATE = """
(my order|order|my package|parcel) {order} is [very|really|still] (late|delayed|overdue)
(order|my order|my parcel) {order} (has not|hasn't|did not|didn't) (arrived|arrive|come) [yet]
i am still waiting for [my] order {order}
i never (received|got) [my] order {order}
why is [my] order {order} (late|delayed|taking so long)
{order} (should have been|was supposed to be) here (yesterday|last week|days ago)
my delivery {order} is (missing|lost)
order {order} got lost
~ it has been two weeks and [order] {order} is not here
~ still no sign of order {order}
"""

_RETURN_ANSWER: Final = (
    "You can return the *{item}* within *30 days*: open My Orders, choose the item and print the"
    " label."
)

ORDER_TOPICS: Final[tuple[Topic, ...]] = (
    topic(
        "order_status",
        "You can follow order *{order}* live under *My Orders*; most orders arrive within 3 to 5"
        " working days.",
        """
        where is my order {order}
        where is [order] {order} [right now|at the moment]
        (what is|what's|whats) the status of [my] order {order}
        (track|check) [my] order {order} [for me]
        (can|could|would) you (track|check|find|look up) [my] order {order} [for me]
        when will [my] order {order} (arrive|come|get here|be here|be delivered)
        has [my] order {order} (shipped|been shipped|been sent|left)
        i (want|would like|need) to (track|follow|check) [my] order {order}
        status of [order] {order}
        any (news|update|updates) (on|about) [my] order {order}
        do you know where [my] (order|parcel|package) {order} is
        how far is my (parcel|package|delivery) {order}
        my order (number|no) is {order}, where is it
        i (placed|made) order {order} (yesterday|last week|on Monday), where is it
        order {order}
        my order number is {order}
        {order}
        ~ what happened to my (parcel|order) {order}
        ~ tell me where (order|package) {order} has got to
        ~ is {order} on its way
        """,
        weight=5,
    ),
    topic(
        "order_no_id",
        "I can help with that. Please tell me your *order number*, a letter followed by four"
        " digits.",
        """
        where is my (order|package|parcel|delivery|stuff)
        (track|check) my (order|package|parcel)
        (can|could) you (track|check|find|look up) my order [for me]
        when will my (order|package|parcel) (arrive|come|get here|be delivered)
        (what is|what's) the status of my order
        i want to (track|check|cancel|change) my order
        has my order (shipped|been sent|left) [yet]
        i (need|want) help with my order
        i have a (question|problem) (about|with) [my|an] order
        order status
        track order
        ~ i would like to know where my purchase is
        ~ did my order leave the warehouse
        """,
        weight=1.5,
    ),
    topic(
        "order_cancel",
        "You can *cancel* order *{order}* under My Orders until it ships.",
        """
        (cancel|please cancel) [my] order {order}
        (i want|i would like|i'd like|i need) to cancel [my] order {order}
        (can|could|may) (i|you) cancel [my] order {order}
        how (do|can) i cancel [my] order {order}
        is it (possible|too late) to cancel [order] {order}
        i changed my mind about order {order}
        i do not want [my] order {order} (anymore|any more)
        stop order {order}
        ~ order {order} was a mistake, cancel it
        ~ i no longer need order {order}, what now
        """,
        weight=2,
    ),
    topic(
        "order_change",
        "You can *change* order *{order}* under My Orders until it ships.",
        """
        (change|update|edit) [my] order {order}
        (i want|i would like|i'd like|i need) to (change|update|edit) [my|the address of] ...
            order {order}
        (can|could|may) i (change|edit|update) [my|the address of|the delivery address for] ...
            order {order}
        how (do|can) i (change|edit|update) [my] order {order}
        (can|could) i add (a|another) {item} to order {order}
        wrong address on order {order}
        i (gave|typed) the wrong address for order {order}
        ~ i need a different address for order {order}
        ~ please swap something in order {order}
        """,
        weight=2,
    ),
    topic(
        "order_late",
        "I am *sorry* that order *{order}* is late. Please call us at *555-0100* and we will look"
        " into it today.",
        _LATE,
        weight=2,
    ),
    topic(
        "order_invoice",
        "You can download the *invoice* for order *{order}* under My Orders.",
        """
        (can|could|may) i (get|have) (an|the) (invoice|receipt) for [my] order {order}
        i (need|want|lost) (an|the|my) (invoice|receipt) for order {order}
        where is the (invoice|receipt) for [my] order {order}
        send me the (invoice|receipt) for [order] {order}
        (invoice|receipt) for order {order}
        how do i (get|download) (an|the) (invoice|receipt) for [order] {order}
        ~ order {order} came without (a receipt|an invoice)
        """,
    ),
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
        ~ there is a crack in my {item}
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
        ~ what must i do to send back (the|a) {item}
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
        ~ have you paid my money back
        ~ how soon will i be refunded
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
        ~ swap this {item} for me
        ~ i need a different {item} than the one i bought, can we exchange it
        """,
        weight=2,
    ),
    topic(
        "delivery_time",
        "Standard delivery takes *3 to 5 working days*; express arrives the *next day*.",
        """
        how long (does|will) (delivery|shipping) take
        how (fast|quick|quickly) (is|do you) (delivery|deliver|ship)
        when (will|does) (a|the) delivery (come|arrive)
        (what is|what's|what are) (your|the) delivery (time|times)
        how many days (for|until) delivery
        (delivery|shipping) time
        how soon (can|do) you (deliver|ship)
        do you have (express|next day|fast) (delivery|shipping)
        (what are|tell me) the delivery options
        (delivery|shipping)
        ~ how many days does it take to get a package from you
        ~ can i get it tomorrow
        """,
        weight=2,
    ),
    topic(
        "delivery_cost",
        "Delivery costs *$5* and is *free over $50*; express costs $9.",
        """
        how much (is|does) (delivery|shipping) [cost]
        (what does|what do) (delivery|shipping) cost
        (is|do you have|do you offer) free (delivery|shipping)
        (what is|what's) the (delivery|shipping) (cost|fee|price|charge)
        when is (delivery|shipping) free
        (delivery|shipping) (cost|fee|costs)
        do i (have to|need to) pay for (delivery|shipping)
        how much (is|does) express (delivery|shipping) [cost]
        ~ what will you charge me to ship an order
        ~ is there a charge for delivery
        """,
        weight=2,
    ),
    topic(
        "delivery_abroad_yes",
        "Yes, we ship to *Canada and Mexico* in 7 to 10 days.",
        """
        do you (deliver|ship|send) to (Canada|Mexico)
        (can|could) you (deliver|ship|send) [something|an order|it] to (Canada|Mexico)
        is (delivery|shipping) to (Canada|Mexico) possible
        i live in (Canada|Mexico), can i order
        how long does (shipping|delivery) to (Canada|Mexico) take
        ~ would a parcel go to (Canada|Mexico)
        """,
    ),
    topic(
        "delivery_abroad_no",
        "Sorry, we *do not ship there* yet. We deliver in the US, Canada and Mexico.",
        """
        do you (deliver|ship|send) to {country}
        (can|could) you (deliver|ship|send) [something|an order|it] to {country}
        is (delivery|shipping) to {country} possible
        i live in {country}, can i order
        how long does (shipping|delivery) to {country} take
        ~ would a parcel go to {country}
        """,
        weight=1.5,
    ),
    topic(
        "pickup",
        "Yes, you can *pick up* your order in any store; it is ready within *2 hours*.",
        """
        (can|could|may) i (pick up|collect) [my order|an order|it] in [a|the|your] store
        do you (have|offer) (store pickup|click and collect|in store pickup)
        (how does|is there) (store pickup|click and collect) [work]
        (i want|i'd like) to (collect|pick up) my order
        order online and (collect|pick up) in store
        when can i (collect|pick up) my order
        ~ i would rather fetch my order from a shop myself
        """,
    ),
)
