"""Topics about the shop: hours, stores, goods and prices."""

from typing import Final

from serving.embedded.corpus.topic import Topic, topic

_STOCK = """
do you have (the|a|any) {item} in stock
(is|is the) {item} in stock
is (the|a) {item} (available|still available|in stock) [right now|today]
do you (have|still have|sell|stock|carry) (the|a) {item}
do you have any {plural} [in stock|left]
(can|could) i (buy|get|order) (the|a) {item} [from you|today|now]
(i want|i need|i would like|i'd like|i am looking for|i'm looking for) (a|the) {item}
have you got (the|a) {item} [in stock]
got any {plural}
{item} in stock
(is there|are there) any {item} left
check (stock|the stock) (for|of) the {item}
what about (the|a) {item}
(i wonder|i was wondering|i am wondering|tell me|can you tell me|do you know) (if|whether) (you ...
    have|the shop has|there is) (the|a) {item}
(could|can|would) you (tell me|check|see|look) (if|whether) (the|a) {item} is ...
    (there|available|in stock|in the shop)
(is there any|is there a) (chance|way) (to get|to buy|for|of getting) (the|a) {item}
(would|will|do) you have (the|a|any|one) {item}
(are|do you have) {plural} (available|in stock|there)
(i am|i'm) interested in (the|a|your) {item}
(the|a) {item} please
~ i wonder if you carry the {item}
~ is it possible to buy a {item} from you today
~ any chance you have a {item}
"""

HOURS: Final = (
    "We are open Monday to Saturday from *9 am to 8 pm*, and Sunday from *10 am to 6 pm*."
)

SHOP_TOPICS: Final[tuple[Topic, ...]] = (
    topic(
        "hours",
        HOURS,
        """
        what are your (opening|business|store|shop|working) hours
        (tell me|give me|i need) your (opening|business|store) hours
        (when|what time|at what time) do you (open|close)
        (when|what time) (does|do) (the|your) (shop|store|stores) (open|close)
        (when|what time) are you open
        are you open (now|today|tomorrow|on weekends|on Saturday|on Monday|late|tonight)
        how (late|long) are you open [today]
        (until|till) when are you open
        what are the opening (hours|times) [of the {city} store]
        when does the {city} store (open|close)
        (opening|store|business) (hours|times)
        hours
        (at|from|until|till) what (time|hour) (can i come|are you there|can i visit|is the shop ...
            open|do you open)
        (when|until when|how long) (can i|could i) (visit|come|come by|shop|drop by)
        (please|could you|can you) (share|tell me|give me|send me) (your|the) (hours|opening ...
            times|opening hours)
        (what|which) (hours|times|days) (are you|is the store|is the shop) open
        (is|are) (the store|the shop|you|your stores) (open|closed) ...
            (now|today|late|tomorrow|tonight|on Friday|on Tuesday)
        (do you|does the shop) (close|open) (early|late|at night|in the evening|in the morning)
        the (hours|times) of (the|your) (shop|store)
        ~ from what time can i visit the shop
        ~ could you share the hours you are open
        ~ how long is your store open today
        """,
        weight=3,
    ),
    topic(
        "hours_sunday",
        "Yes, on *Sunday* we are open from *10 am to 6 pm*.",
        """
        are you open on Sunday
        do you open on (Sunday|Sundays)
        is the (shop|store) open on (Sunday|Sundays)
        what (are|about) your Sunday hours
        (when|what time) do you (open|close) on (Sunday|Sundays)
        can i come on Sunday
        Sunday hours
        (will|is|are) (the store|the shop|you|your shop) (be open|open|closed) [on|this|next] Sunday
        (can i|could i|may i) (visit|shop|drop by|come by) [on] (Sunday|Sundays|a Sunday)
        (open|opening) (on Sunday|Sundays|Sunday)
        ~ can i visit the store on a Sunday
        """,
        weight=1.5,
    ),
    topic(
        "hours_holiday",
        "No, our stores are *closed on public holidays*; the online shop never closes.",
        """
        are you open on (Christmas|New Year|Thanksgiving|public holidays|holidays|Easter)
        do you (open|close) (on|for) (Christmas|Thanksgiving|Easter|holidays|the holidays)
        what are your holiday hours
        holiday hours
        is the store open (on|at) (Christmas|Easter|Thanksgiving|New Year)
        (will|is|are) (the store|you|the shop) (be open|be closed|closed|open) (on|at|for) ...
            (Christmas|Thanksgiving|Easter|the holidays|New Year)
        (Christmas|Easter|Thanksgiving|New Year) (hours|opening)
        (public holidays|holidays|bank holiday)
        ~ does the shop open at (Christmas|Thanksgiving|Easter)
        """,
    ),
    topic(
        "store_list",
        "We have stores in *Portland, Denver, Austin, Boston, Seattle and Chicago*.",
        """
        where are you [located]
        where are your (stores|shops)
        where is (your|the) (store|shop|nearest store|closest store)
        (which|what) cities are you in
        (how many|what|which) (stores|shops) do you have
        (do you have|is there) a (store|shop) near me
        (list|show me) your (stores|shops|store locations)
        store locations
        (find|i am looking for) a (store|shop) [near me]
        (what is|what's) your address
        do you have [any] (physical|real) stores
        (how|where) (do|can|could) i (find|visit|see) (you|your shop|your stores|one of your ...
            stores|a shop)
        (in|at) (what|which) (cities|towns|places|city|town) (are you|do you have stores|are ...
            your stores|can i visit you)
        (tell me|give me) (your|the) (locations|addresses|address|stores)
        (locations|addresses|stores|shops|branches)
        (which|what) (towns|places) (are your shops|have a store)
        ~ in which towns can i find you
        ~ how do i find one of your shops
        """,
        weight=2,
    ),
    topic(
        "store_city",
        "Yes, our *{city}* store is at *{street}*.",
        """
        (is there|do you have) a (store|shop) in {city}
        where is (the|your) {city} (store|shop)
        where in {city} are you
        (what is|what's) the address [of the|in|of your] {city} [store]
        are you in {city} [too]
        address of the {city} store
        i live in {city}, is there a store
        how do i (get to|find) the {city} (store|shop)
        {city} store
        (i am|i'm|i will be) (visiting|in|going to|traveling to) {city}, (where are you|do you ...
            have a store|is there a shop)
        (what|which) (street|place|address) (is|are) (your|the) {city} (store|shop) [on|at]
        can i (visit|find) (you|your store|a shop) in {city}
        (are there|any) (stores|shops) in {city}
        (on|at) (what|which) street is the {city} (store|shop)
        (your|the) (store|shop) in {city}
        ~ i am visiting {city}, can i find you there
        ~ which street in {city} are you on
        """,
        weight=3,
    ),
    topic(
        "store_other_city",
        "Sorry, we have *no store there* yet. You can order online at any time.",
        """
        (is there|do you have) a (store|shop) in {other_city}
        where is (the|your) {other_city} (store|shop)
        where in {other_city} are you
        are you in {other_city} [too]
        i live in {other_city}, is there a store
        {other_city} store
        (i am|i'm|i will be) (visiting|in|going to|traveling to) {other_city}, (where are ...
            you|do you have a store|is there a shop)
        can i (visit|find) (you|your store|a shop) in {other_city}
        (are there|any) (stores|shops) in {other_city}
        (your|the) (store|shop) in {other_city}
        ~ i am visiting {other_city}, can i find you there
        """,
        weight=2,
    ),
    topic("stock_yes", "Yes, the *{item} is in stock* for *${price}*.", _STOCK, "in_stock", 9),
    topic(
        "stock_no",
        "Sorry, the *{item} is out of stock*. We expect it back *next week*.",
        _STOCK,
        "out_of_stock",
        4,
    ),
    topic(
        "price",
        "The *{item}* costs *${price}*.",
        """
        how much (is|does|for) (the|a) {item} [cost]
        (what is|what's) the price of (the|a|your) {item}
        (what does|how much does) (the|a|one) {item} cost
        price of (the|a) {item}
        {item} price
        how much do you (want|ask|charge) for (the|a) {item}
        how (expensive|cheap) is (the|a) {item}
        (tell me|give me) the price of (the|a) {item}
        how much would i pay for (the|a) {item}
        what do your {plural} cost
        how much are your {plural}
        (what|how much) (will|would|does|do) (a|the|one) {item} (cost|cost me|be)
        (i want|i would like|i'd like|i need) to know (the price of|how much is|what you charge ...
            for) (the|a|one) {item}
        (for how much|at what price) (is|do you sell|can i buy|can i get) (the|a) {item}
        (what|which) price (is|has) (the|a|your) {item}
        (and|) the {item}, (how much|what price|what does it cost)
        (cost|price) (of|for) (a|the|one) {item}
        is the {item} (expensive|cheap)
        ~ what will a {item} set me back
        ~ i would like to know the price for one {item}
        ~ could you give me the price of a {item}
        """,
        weight=7,
    ),
    topic(
        "not_sold",
        "Sorry, we *do not sell* that. We have kitchen, home, furniture, electronics and clothing"
        " items.",
        """
        do you (have|sell|stock|carry) (a|any|the) {strange} [in stock]
        is (the|a) {strange} in stock
        how much (is|does) (the|a) {strange} [cost]
        (can|could) i (buy|get|order) {a_strange}
        (i want|i need|i would like|i'm looking for) {a_strange}
        (what is|what's) the price of (the|a) {strange}
        have you got {a_strange}
        do you (sell|have|stock) {strange}s
        (i want|i need|i am looking for) {strange}s
        where can i find {a_strange}
        (i wonder|can you tell me|tell me) if you (have|sell|carry|stock) {a_strange}
        (is there|any chance of|is there any chance to get) {a_strange}
        (could you tell me|do you know) (if|whether) (the|a) {strange} is (available|in stock)
        (i would like|i want|i need) to buy (a|some|the) {strange}
        (the|a) {strange} please
        (what|how much) does (a|the) {strange} cost
        ~ does your shop have {a_strange}
        ~ any chance you have {a_strange}
        """,
        weight=4,
    ),
    topic(
        "range",
        "We sell *kitchen*, *home*, *furniture*, *electronics* and *clothing* items.",
        """
        what do you sell
        (what|which) (products|things|items|goods) do you (sell|have|offer)
        what can i buy (here|from you|in your store)
        what kind of (shop|store) (is this|are you)
        (show me|list) your (products|catalogue|range)
        what is in your (shop|store|catalogue)
        do you sell (furniture|electronics|clothing|kitchen items)
        (tell me|can you tell me) (about|what is in) (your|the) ...
            (products|goods|range|shop|assortment)
        (what|which) (goods|stuff|articles|categories) do you (offer|have|sell|stock)
        what (is there|can i find|can i get) (in your shop|at your store|here)
        (products|catalogue|catalog|goods|assortment)
        ~ tell me about the goods you offer
        """,
        weight=1.5,
    ),
    topic(
        "recommend",
        "Our customers love the *{item}* for *${price}*.",
        """
        (can|could) you recommend (a|the|me a) {item}
        should i buy (the|a) {item}
        is (the|your) {item} (any good|good|worth it)
        what do you think of the {item}
        tell me (about|more about) the {item}
        which {item} (do you recommend|should i buy|is the best)
        do people like the {item}
        (would|do|could) you (suggest|recommend|advise) (the|a|your) {item}
        (is|would) (the|a) {item} (a good choice|be good|a good buy|be nice)
        (what|anything) (can you say|can you tell me|good) about (the|your) {item}
        (describe|review) the {item}
        ~ is it a good idea to buy the {item}
        """,
        "in_stock",
        2,
    ),
)
