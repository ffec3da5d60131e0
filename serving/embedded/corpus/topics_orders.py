"""Topics about an order: where it is, changing it, and its delivery."""

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
(it has been|i have waited|i waited) (a week|two weeks|ten days|a month|too long) (for|and) ...
    [order] {order} [is not here]
(where the hell|why on earth) is {order}, it is (late|overdue)
(no|there is no|still no) (sign|news) of (my parcel|my package|my order) {order}
(order|parcel) {order} (never|still has not|still hasn't) (came|come|arrived|shown up)
(order|my order) {order} is (not|still not) here [yet]
how much longer (must|do) i wait for {order}
~ my parcel {order} is a week late
~ still no sign of order {order}
"""

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
        (what happened|what is happening|what's happening) with [my] order {order}
        (tell me|can you tell me|do you know) (where|when) [my] order {order} (is|will arrive|comes)
        (any|is there any) (news|information|info) (on|about|for) (parcel|package|order) {order}
        (let me know|i wonder|i am wondering) where [my] order {order} is
        is [my] (order|parcel|package) {order} (coming|on the way|shipped|here) [yet|today]
        (my|the) (parcel|package|delivery) {order}, where is it
        (look up|find|locate) (order|parcel|package|purchase) {order}
        (what about|how about) [my] order {order}
        (give me|i need) (an update|the status|tracking) (on|of|for) [order] {order}
        (did|has) [my] order {order} (leave|left|go out|gone out)
        {order} (status|tracking|where is it|please check|when does it come)
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
        (where|when) (is|does|will) my (purchase|stuff|shipment) [come|arrive]
        (did|has) my (order|parcel|purchase|package) (left|leave|go out|ship|arrive)
        i (would like|want|need) to (know|see|check) (where|when) my ...
            (order|parcel|purchase|package) (is|arrives|comes)
        (can you|could you) (help me with|look at|find) my (order|purchase|package)
        (tell me|let me know) where my (order|parcel|package) is
        i (ordered|bought) something (last week|yesterday|a week ago), where is it
        (follow|locate|find) my (order|parcel|purchase)
        ~ could i learn where my package is today
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
        (i made a mistake|it was a mistake), (cancel|stop) order {order}
        (order|my order) {order} (is|was) (wrong|an accident|an error), (cancel|stop) it
        i (no longer|don't) (need|want) [my] order {order}
        (please|can you|could you) (stop|cancel|call off|void|delete) order {order}
        (cancelling|cancellation of|cancellation) order {order}
        i want order {order} (cancelled|stopped|gone)
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
        (i need|i want|can i have) (a different|another|a new) (address|product|item|date) ...
            (for|on|in) order {order}
        (can you|could you|please) (change|swap|replace|edit|modify) (something|an item|the ...
            address|the date) (in|on|for) [my] order {order}
        (modify|correct|fix) [my] order {order}
        order {order} (needs|has) (a new|another|the wrong) address
        order {order} should go to another (address|place|city)
        ~ order {order} goes to an old address, can i fix that
        ~ is it possible to edit order {order}
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
        (order|package) {order} (had|came with|has) no (receipt|invoice|bill)
        (there was|i found) no (receipt|invoice) (in|for|with) [order] {order}
        (a copy of|please send) the (receipt|invoice|bill) (for|of) [order] {order}
        i need (proof|a bill) for order {order}
        ~ order {order} came without (a receipt|an invoice)
        """,
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
        (can|could|will) (i|it) (get it|be here|have it|arrive) (tomorrow|by tomorrow|soon|this ...
            week)
        how many (days|weeks) (does it take|do i wait|does shipping take|until it comes)
        (when|how soon) (will|would|can) (it|a package|an order|a parcel) (arrive|be here|get ...
            here|come)
        how long (does it take|do you take|until) (to get|to ship|to deliver|for) (an order|a ...
            package|a parcel|something)
        (express|next day|fast|same day) (delivery|shipping)
        ~ how many days does it take to get a package from you
        ~ how long until my delivery arrives
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
        (is there|do you have|what is) (a|the|any) (charge|fee|cost|price) (for|of) ...
            (delivery|shipping)
        (what|how much) (do|will|would) you (charge|take|want) (for|to) ...
            (delivery|shipping|deliver|ship)
        (what|how much) (will|would|does) it cost to (ship|send|deliver) (an ...
            order|it|something|a package)
        (does|do) (delivery|shipping) (cost|cost anything|cost money)
        (price|cost|fee) (of|for) (delivery|shipping)
        ~ what will you charge me to ship an order
        ~ is shipping free or do i pay
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
        (would|will|does) (a|the|my) (package|order|delivery) (go|ship|come) to (Canada|Mexico)
        (Canada|Mexico) (delivery|shipping)
        i am from (Canada|Mexico), do you deliver
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
        (would|will|does) (a|the|my) (package|order|delivery) (go|ship|come) to {country}
        {country} (delivery|shipping)
        i am from {country}, do you deliver
        do you (deliver|ship) (abroad|overseas|internationally|worldwide)
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
        (i want|i would like|i prefer|i'd rather) to (fetch|get|take|collect|pick up) (it|my ...
            order) (myself|in person|at the store|from the shop)
        (can|may) i (fetch|get|come and get|come for) my order (myself|at the store|in the shop)
        (picking up|collecting) (an order|my order|in store)
        ~ i would rather fetch my order from a shop myself
        """,
    ),
)
