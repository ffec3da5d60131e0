"""Topics about members, payment, warranty and accounts."""

from typing import Final

from serving.embedded.corpus.topic import Topic, topic

_WARRANTY = """
(what is|what's) the warranty (on|for|of) (the|a|my) {item}
how long is the warranty (on|for|of) (the|a|my) {item}
does (the|a|my) {item} (have|come with) a (warranty|guarantee)
(is|do you give) a (warranty|guarantee) (on|for) (the|a) {item}
(warranty|guarantee) (for|of|on) (the|a|my) {item}
is my {item} (still under warranty|covered by warranty|covered)
how many years of (warranty|guarantee) does (the|a) {item} have
(for|until) how (long|many years) (is|will) (the|a|my) {item} (guaranteed|covered|be ...
    covered|under warranty)
(what|which) (guarantee|warranty|cover) (comes with|is on|do i get with|has) (the|a|my) {item}
(the|my) {item} (warranty|guarantee) [please]
(tell me|i want to know) the (warranty|guarantee) (of|on|for) (the|my|a) {item}
~ how many years does the warranty of (the|a) {item} last
~ is there any warranty on my {item}
"""

MONEY_TOPICS: Final[tuple[Topic, ...]] = (
    topic(
        "discount_tier",
        "Yes, *{tier}* members get *{percent}% off* every order.",
        """
        (can|could|do|will) i get a discount as a {tier} member
        (what|how much) discount do {tier} members get
        i am a {tier} member, (do i get a discount|what is my discount|any discount)
        (do|can) {tier} members (get|have) a discount
        (what|which) (benefits|perks) do {tier} members (get|have)
        is there a discount for {tier} [members]
        how much do i save (with|as) {tier}
        {tier} (discount|benefits)
        what do i get (with|as a) {tier} [member|membership]
        i have {tier} status, (is there|do i get) a discount
        (what|how much|how many percent) (do|can|will|would) i (save|have off|get off|get) ...
            (with|as|being) [a] {tier} [customer|member|membership|card]
        (as|being) a {tier} (customer|member), (do i|can i|will i) (pay less|save|get a ...
            discount|get something off)
        (is there|any) (discount|percent off|money off|reduction) (for|with) {tier} ...
            [members|customers|card]
        my (status|tier|level|card) is {tier}, (what do i save|what is my discount|do i get a ...
            discount)
        {tier} (members|customers|card|status|membership)
        (what|which) percentage do {tier} members (get|save)
        ~ being a {tier} customer, how many percent off do i have
        ~ as {tier} what do i save
        """,
        weight=4,
    ),
    topic(
        "discount",
        "Members save *5% with Silver*, *10% with Gold* and *15% with Platinum*.",
        """
        (do you have|are there|is there|can i get) (a|any) (discount|discounts|sale|offers|deals)
        (how|where) (can|do) i get a discount
        what discounts do you (have|offer)
        any (discounts|deals|offers|promotions) [today]
        how can i save money
        is there a sale [on|now|today]
        tell me about your (loyalty program|membership|members club|rewards)
        what (tiers|levels|memberships) (are there|do you have)
        how does the loyalty program work
        (discount|discounts|loyalty program)
        (how|what) can i (pay less|save|get cheaper|do to pay less)
        (i want|i'd like|i would like|can i have) (to pay less|to save money|a lower price|a ...
            discount|a better price)
        (which|what) (membership|member|loyalty) (levels|tiers|types|cards) (exist|do you ...
            have|are there)
        (is anything|anything|something) (cheaper|on sale|reduced) [today|now]
        (coupon|coupons|promo code|voucher code|do you have a coupon)
        (membership|members|tiers|rewards) [info|levels]
        ~ i want to pay less, any ideas
        ~ tell me which discounts there are
        """,
        weight=2,
    ),
    topic(
        "tier_reach",
        "You reach *{tier}* after spending *${spend}* in a year.",
        """
        how (do|can) i (become|get to be) a {tier} member
        how (do|can) i (get|reach) {tier} [status]
        how much (must|do) i [have to|need to] spend (for|to get) {tier}
        what do i need for {tier} [status]
        when (do|will) i (become|reach|get) {tier}
        i want to (become a {tier} member|be {tier}|get {tier} status)
        (what|how much) does it (take|cost|need) to (be|get|become|reach) {tier} [member]
        (what|how) (must|should|can|do) i do (to get|to be|for|to become|to reach) {tier} ...
            [member|status]
        (getting|becoming|reaching) {tier}
        (how|when) (will|would|could) i (be|get|turn) [a] {tier} [member]
        how long until i (am|become|get) {tier}
        ~ how can i get my {tier} membership
        """,
        weight=2,
    ),
    topic(
        "join",
        "Joining is *free*: create an account and you earn points from your first order.",
        """
        how (do|can) i (join|sign up|register|become a member)
        (i want|i would like) to (join|sign up|register|become a member)
        is membership free
        what does membership cost
        how do i (create|open|make) an account
        (sign up|join|register)
        (where|how) (can|do|could) i (enroll|subscribe|get a membership|become a customer|make ...
            an account)
        (i'd like|let me|i want) to (be a member|open an account|create an account|get a card)
        (new account|membership card|become member)
        ~ where do i enrol as a member
        """,
    ),
    topic(
        "points",
        "You earn *1 point per $1*, and *100 points are worth $5*.",
        """
        how do (points|loyalty points|reward points) work
        what are (points|my points|100 points) worth
        how (do|can) i (earn|use|get|spend|redeem) [my] points
        how many points do i (get|earn)
        (points|loyalty points)
        do i get points for (my order|this|an order)
        (what|tell me what) (can i do|do i do|is) with my points [worth]
        (tell me about|explain) (points|the points|your points|reward points)
        (how much|what) (is|are) (a point|one point|my points) worth
        (where|how) can i (spend|use|see) my points
        ~ tell me what my points are good for
        """,
    ),
    topic(
        "student",
        "Yes, students get *5% off* with a valid *student card*.",
        """
        (do you have|is there|can i get) a student discount
        do students get (a discount|anything off)
        i am a student, (is there|do i get) a discount
        student discount
        how much is the student discount
        (i am|i'm) (at university|in college|at school|studying), (do i get|is there) (a ...
            discount|something off|anything off)
        (discount|reduction|price) (for|as) (a student|students|college students|pupils)
        (student|students) (price|card|offer|reduction)
        ~ i still go to college, any discount for me
        ~ do you have a price for students
        """,
    ),
    topic(
        "payment",
        "We accept *Visa, Mastercard, American Express, PayPal, Apple Pay* and gift cards.",
        """
        (how|what ways) can i pay
        (what|which) payment methods do you (accept|take|have|offer)
        do you (accept|take) (Visa|Mastercard|American Express|PayPal|Apple Pay|credit cards|cards)
        (can|could|may) i pay (by card|with PayPal|with Apple Pay|with Visa|with a gift ...
            card|by credit card)
        (payment|payment methods|payment options)
        how do i pay [for my order]
        is (PayPal|Visa|Mastercard|Apple Pay) ok
        (what|which) are (my|the|your) (payment options|ways to pay|options to pay)
        (will|would|do|can) you (take|accept) my (card|credit card|Visa|Mastercard|debit ...
            card|PayPal)
        (can|may|could) i (use|pay using) (my card|PayPal|Visa|Mastercard|Apple Pay|a debit card)
        (ways|options|methods) (to pay|of payment|for paying)
        (which|what) cards (do you take|are ok|can i use|do you accept)
        ~ what are my options for paying
        ~ is it ok to pay with my (Visa|Mastercard)
        """,
        weight=2,
    ),
    topic(
        "cash",
        "You can pay with *cash in our stores only*.",
        """
        (can|could|may) i pay (in|with) cash
        do you (accept|take) cash
        is cash ok
        cash on delivery
        (i only have|i have only|can i use) cash [is that ok|is it ok]
        (is|would) (cash|paying cash|paying in cash) (fine|ok|possible|allowed)
        (paying|payment) (in|with) cash
        ~ i only have cash on me, is that fine
        """,
    ),
    topic(
        "crypto",
        "Sorry, we *do not accept* that. You can pay by card, PayPal, Apple Pay or gift card.",
        """
        (can|could|may) i pay (in|with|by) (bitcoin|crypto|check|cheque|bank transfer|euros)
        do you (accept|take) (bitcoin|crypto|cryptocurrency|checks|cheques|bank transfers)
        is (bitcoin|a check|bank transfer) ok
        (would|will|can) you (take|let me use|accept) (bitcoin|a check|checks|crypto)
        (paying|payment) (by|with) (check|bitcoin|crypto|bank transfer)
        (bitcoin|crypto|bank transfer)
        ~ would you let me pay (with|by) (bitcoin|check)
        """,
    ),
    topic(
        "instalments",
        "Yes, orders over *$100* can be paid in *3 monthly instalments*.",
        """
        (can|could|may) i pay (in|by) (instalments|installments|parts|monthly)
        do you (have|offer) (instalments|installments|financing|payment plans|a payment plan)
        (can|could) i (split|spread) the payment
        (pay later|payment plan|instalments)
        can i pay later
        (can|could|may) i (pay|spread it) (over time|over three months|in three parts|bit by bit)
        (i can't|i cannot) pay (everything|it all) (now|at once|today), can i pay (later|in ...
            parts|monthly)
        (monthly payments|pay in parts|split payment|spread the cost)
        ~ paying everything at once is hard, can i spread it
        """,
    ),
    topic(
        "payment_failed",
        "Please *check your card details* and try again; if it still fails, call us at *555-0100*.",
        """
        my (payment|card) (failed|was declined|does not work|doesn't work|was rejected|is ...
            not accepted)
        (the|my) payment (does not|doesn't|did not|didn't) (work|go through)
        i (can't|cannot|can not) pay
        why was my (payment|card) (declined|rejected)
        payment (error|failed|problem)
        (your|the) (checkout|shop|site|website) (rejects|declines|does not take|does not ...
            accept|refused) my (card|payment)
        (checkout|paying|payment) (is not working|does not work|fails|is broken)
        (i tried to pay|i want to pay) but (it failed|it does not work|my card was refused)
        ~ your checkout refuses my card
        """,
    ),
    topic(
        "gift_card",
        "Yes, we sell *gift cards from $10 to $200*, in stores and online.",
        """
        do you (have|sell) gift cards
        (can|could) i (buy|get) a gift card
        (i want|i'd like) [to buy] a gift card
        how much (is|are) (a gift card|gift cards)
        (gift card|gift cards|gift vouchers)
        do you have (vouchers|gift vouchers)
        (are there|is there|have you) (gift cards|a gift card|vouchers|any gift cards)
        (buying|i need|give me) a (gift card|voucher|gift voucher)
        (what|which) gift cards (do you have|are there)
        ~ can you sell me a gift card
        """,
    ),
    topic(
        "gift_wrap",
        "Yes, we offer *gift wrapping* for *$4* per item.",
        """
        (can|could) you (gift wrap|wrap) (it|my order|the {item}|this) [as a gift]
        do you (do|have|offer) gift wrapping
        how much is gift wrapping
        gift wrap
        it is a (gift|present), can you wrap it
        (is|would) (gift wrapping|wrapping|wrapping as a gift) (possible|available|free)
        (wrap|please wrap) (it|the {item}|my order|this) [as a present|as a gift|for a birthday]
        (i need|it is for) (a birthday|a present), do you wrap (it|things|presents)
        ~ is wrapping for presents possible
        """,
    ),
    topic(
        "warranty_long",
        "The *{item}* has a *2-year warranty*, like all our electronics.",
        _WARRANTY,
        "electronic",
        2,
    ),
    topic("warranty_short", "The *{item}* has a *1-year warranty*.", _WARRANTY, "plain", 3),
    topic(
        "warranty",
        "Electronics have a *2-year warranty* and everything else a *1-year warranty*.",
        """
        (what is|what's|tell me) your warranty [policy]
        (how long is|what about) the warranty
        do you (have|give|offer) a (warranty|guarantee)
        (warranty|guarantee)
        how (do|does) (the|your) warranty work
        how do i (claim|use) my warranty
        (for|how) (how long|many years) (do you guarantee|is the guarantee on|is the warranty ...
            on) (your products|things|goods|everything)
        (tell me about|explain) (the|your) (warranty|guarantee)
        (do|does) (your products|everything|things) (have|come with) (a warranty|a guarantee)
        ~ for how many years do you guarantee your goods
        """,
        weight=1.5,
    ),
    topic(
        "parking",
        "Yes, *parking* is free for two hours at all our stores.",
        """
        (is there|do you have) [free] parking
        where can i park
        can i park (at|near) the [{city}] store
        parking
        (i come|i will come|i am coming) (by car|with my car), where (can i park|do i leave ...
            it|is parking)
        (is there|do you have) (a place|space|room) for my car
        (car park|parking lot|parking space|free parking)
        ~ i come by car, is there a place for it
        """,
        weight=0.7,
    ),
    topic(
        "jobs",
        "Thank you for your interest! You can find open jobs on our *careers page*.",
        """
        (do you have|are there) [any] (jobs|open jobs|job openings|vacancies)
        are you hiring
        (i want|i would like|can i) [to] work (for|with) you
        how (do|can) i apply for a job
        (jobs|careers)
        (i am|i'm) (looking for|searching for) (a job|work)
        (do you|does the shop) (need|want|look for) (people|workers|staff|help)
        (work|job|apply) (at your store|with you|here|for a job)
        ~ i am looking for work, do you need people
        """,
        weight=0.7,
    ),
    topic(
        "password",
        "Choose *Forgot password* on the login page and we will email you a link.",
        """
        i forgot my password
        (how (do|can) i|i want to|i need to|can i) (reset|change) my password
        i (can't|cannot|can not) (log in|login|sign in)
        (reset password|password|login problem)
        my (login|password|account) does not work
        (i lost|i don't know|i do not remember|i can't remember) my password
        (my|the) password (is wrong|is lost|is not accepted|no longer works)
        (password|login|sign in) (help|trouble|lost|forgotten|not working)
        ~ i lost my password, what can i do
        """,
        weight=1.2,
    ),
    topic(
        "account",
        "You can change your details, email choices or *account* under *Account Settings*.",
        """
        how (do|can) i (delete|close|change|update) my (account|email|address|phone number|details)
        i want to (delete|close) my account
        (unsubscribe|stop sending me emails|newsletter)
        how do i unsubscribe [from the newsletter]
        (change|update) my (email|address|phone number)
        (please|can you|could you) (delete|remove|close|erase) my (account|data|profile)
        (remove|close|delete) (my account|my data|me)
        i (have a new|changed my|moved, new) (address|email|phone number|name)
        (no more|too many|stop the) (emails|newsletters)
        ~ i would like my account deleted
        """,
        weight=1.2,
    ),
)
