"""Sentence patterns of the customer messages and of the prose answers to them.

`(a|b)` stands for either, `{order}` for a value; groups may nest. A message is made of one core
pattern, maybe a greeting, a name, and words about urgency. NEW shares no pattern with TRAINED.
"""

from typing import NamedTuple


class Patterns(NamedTuple):
    """One way of talking: everything that a customer message is put together from."""

    cores: dict[str, list[str]]  # by intent
    leads: dict[str, list[str]]  # by urgency, before the core
    tails: dict[str, list[str]]  # by urgency, after the core
    greetings: list[str]
    introductions: list[str]  # a sentence with the name, first
    farewells: list[str]  # a sentence with the name, last


TRAINED = Patterns(
    cores={
        "cancel": [
            "(please|could you|can you please) cancel (my |)order {order}",
            "I (want|would like|wish) to cancel order {order} with the {item}",
            "I (do not|no longer) need the {color} {item} from order {order}, so please cancel it",
            "(please |)stop order {order}, I (changed my mind|found a {item} elsewhere)",
            "I ordered (the|a) {item} twice by mistake, (please |)cancel order {order}",
            "(my order|order) {order} for the {color} {item} should be cancelled",
            "on {day} I placed order {order} and now I (want|have) to cancel it",
            "we have to cancel order {order} (going|that goes) to {city}",
            "cancel {order} please, the {item} (is too expensive|was a mistake|came up short)",
            "(can|could) you still cancel the {item} that I bought for ${amount}",
            "order {order} has to be cancelled, my plans have changed",
            "is there a way to cancel the {color} {item} before it (leaves|is sent)",
            "my {item} is no longer wanted, cancel order {order} and tell {city}",
            "I made a mistake with order {order}, (please |)cancel the whole thing",
        ],
        "refund": [
            "I (want|would like) my ({amount} dollars|${amount}) back for order {order}",
            "(please|could you|can you) refund (my |)order {order}",
            "I (sent|gave) the {item} back on {day} and (still wait|am waiting) for my refund",
            "(please |)refund ({amount} dollars|${amount}) for the {color} {item}",
            "where is the refund of ({amount} dollars|${amount}) for order {order}",
            "order {order} was returned, (so |)please pay back the ({amount} dollars|${amount})",
            "I paid ({amount} dollars|${amount}) too much for the {item} in order {order}",
            "you (charged|billed) me twice for order {order}, I want the money back",
            "the {item} from order {order} never came to {city}, I want my money back",
            "I returned order {order} in {city} and (expect|ask for) a refund",
            "I am waiting for ({amount} dollars|${amount}) from you since {day}",
            "when will I get the money for order {order}",
            "the {item} was cheaper in {city}, (please |)refund ({amount} dollars|${amount})",
            "my bank shows no refund for the {color} {item}",
        ],
        "exchange": [
            "(can|could) I exchange the {item} from order {order} for a {color} one",
            "I (want|would like) to swap the {item} for one in {color}, order {order}",
            "order {order} came in the wrong color, I (want|need) the {item} in {color}",
            "(please |)exchange the {item} in order {order}, it (is too big|does not fit)",
            "I would rather have the {item} in {color} than what order {order} brought",
            "(can|could) I bring the {item} to your shop in {city} and get a {color} one",
            "please send a {color} {item} instead of the one in order {order}",
            "may I change the {item} of order {order} for another size",
            "the {item} for {amount} dollars is too small, (can I|I want to) exchange it",
            "I (got|received) order {order} on {day} and want to exchange it for a {color} one",
            "the {item} has the wrong size, what about an exchange, order {order}",
            "we like the {item} but not in this color, (please |)swap it for {color}",
            "is an exchange of order {order} possible in {city}",
            "I want another {item} for order {order}, the {color} one is ugly",
        ],
        "track": [
            "where is (my |)order {order}",
            "(can|could) you tell me where order {order} is( now|)",
            "order {order} should have come (to {city} |)on {day}, where is it",
            "I (still wait|am still waiting) for the {item} from order {order}",
            "has order {order} (left|been sent) yet",
            "when will the {color} {item} (arrive|get here) in {city}",
            "the tracking page shows nothing for order {order} (since {day}|)",
            "I want to know when order {order} (arrives|will arrive) in {city}",
            "(please |)track the parcel with the {item} for me, the number is {order}",
            "is the {item} that I ordered on {day} on its way to {city}",
            "what happened to order {order} (on its way to {city}|after {day})",
            "is there any sign of the parcel to {city}, order {order}",
            "I have heard nothing about the {item} from order {order}",
            "show me where the {color} {item} is",
        ],
        "reschedule": [
            "(please|could you|can you) deliver order {order} on {day} instead",
            "I am not home (then|this week), (please |)bring order {order} on {day}",
            "(can|could) the delivery of the {item} be moved to {day}",
            "I (want|need) to move the delivery of order {order} to {day}",
            "please reschedule order {order} (for|to) {day}",
            "{day} is better for the delivery of order {order} in {city}",
            "we are away, so (please |)bring the {color} {item} to {city} on {day}",
            "a later delivery of order {order} would be better, (maybe|say) {day}",
            "the driver for order {order} should come on {day}, not (before|earlier)",
            "(can|could) you deliver the {item} to {city} on {day} (instead|)",
            "nobody is at home, so change the delivery of order {order} to {day}",
            "would it be possible to bring the {item} on {day}",
            "(please |)hold order {order} back until {day}",
            "the delivery in {city} is too early, make it {day}",
        ],
        "invoice": [
            "(please|could you|can you) send me the invoice for order {order}",
            "I need (an|the) invoice over ({amount} dollars|${amount}) for order {order}",
            "the invoice for the {item} is missing, (my order is|the order number is) {order}",
            "I (did not get|never got) a bill for order {order}",
            "(please |)make out the invoice for order {order} to our office in {city}",
            "there is no invoice in the parcel with the {color} {item}",
            "my bill for the {item} says {amount} dollars, (please |)send a correct invoice",
            "our accountant asks for the invoice of {day} for order {order}",
            "(can|could) I have a copy of the invoice over ({amount} dollars|${amount})",
            "where do I find the invoice for the {item} from order {order}",
            "our company in {city} needs a bill for the {item}",
            "for the tax office I need the invoice for order {order}",
            "what about the invoice for order {order}, it was promised for {day}",
            "I lost the invoice over ({amount} dollars|${amount}), send it again",
        ],
        "address": [
            "(please|could you|can you) send order {order} to {city} instead",
            "I (moved|have moved) to {city}, (please |)change the address for order {order}",
            "the address on order {order} is wrong, I live in {city}",
            "my new address is in {city}, the order is {order}",
            "please update the address of order {order}",
            "(can|could) you change where the {item} goes, it should go to {city}",
            "order {order} with the {item} must go to my office in {city}",
            "I typed the wrong street for order {order}, (please |)correct the address",
            "from {day} on I live in {city}, so send the {color} {item} there",
            "ship the {item} to {city} and not to my old address, order {order}",
            "the house number for order {order} is wrong, (please |)fix the address",
            "we moved, the {item} should now go to {city}",
            "which address do you use for order {order}, it has to be the one in {city}",
            "send the {color} {item} to my sister in {city}, not to me",
        ],
        "complaint": [
            "the {item} from order {order} (is broken|arrived broken|does not work)",
            "I am (not happy|very unhappy) with the {color} {item}",
            "order {order} (came|arrived) with a scratch on the {item}",
            "the {item} stopped working on {day}, it was order {order}",
            "your driver in {city} was rude (when he brought|with) order {order}",
            "the {item} is badly made, a shame at ({amount} dollars|${amount})",
            "a part of the {item} in order {order} is missing",
            "the box of order {order} was open and the {item} (was wet|was dirty|smelled)",
            "I got a {color} {item} that nobody here ordered, it says {order} on the box",
            "nobody answered (me|my call) on {day} about order {order}",
            "I expected more from a {item} for ({amount} dollars|${amount})",
            "what kind of shop sends a broken {item}, order {order}",
            "your people in {city} would not listen when I showed the broken {item}",
            "after {day} the {color} {item} fell to pieces",
        ],
    },
    leads={
        "low": [
            "no rush, but ",
            "when you have time, ",
            "this can wait, but ",
            "not important now, but ",
            "some day soon, ",
            "it is not a big matter, but ",
            "if you are not too busy, ",
            "for later, ",
        ],
        "normal": [""],
        "high": [
            "this is urgent, ",
            "quickly please, ",
            "I am in a hurry, ",
            "urgent, ",
            "I need help now, ",
            "no time to lose, ",
            "this cannot wait, ",
            "I have waited too long, ",
        ],
    },
    tails={
        "low": [
            ", there is no hurry",
            ", take your time",
            ", (it|this) is not urgent",
            ", whenever you have time",
            ", (next week|next month) is fine too",
            ", it can wait",
            ", do it when it suits you",
            ", I am in no hurry",
            ", a late answer is fine",
        ],
        "normal": [""],
        "high": [
            ", (it|this) is urgent",
            ", I need an answer today",
            ", please hurry",
            ", as soon as (possible|you can)",
            ", I cannot wait any longer",
            ", right now please",
            ", it has to be today",
            ", do it this minute",
            ", time is running out",
            ", be quick about it",
        ],
    },
    greetings=["(Hi|Hello|Hey|Dear team|Good morning), "],
    introductions=["(this is|my name is|I am|it is) {name}. ", "{name} (here|speaking). "],
    farewells=[" (Thanks|Thank you|Regards|Best), {name}", " (Yours,|Greetings from) {name}"],
)  # fmt: skip

NEW = Patterns(
    cores={
        "cancel": [
            "you can forget about the {item} in order {order}, cancel it",
            "is it too late to cancel {order}",
            "my wife already has a {color} {item}, so order {order} must be cancelled",
            "cancellation of order {order} (wanted|needed)",
        ],
        "refund": [
            "give me back the ({amount} dollars|${amount}) that order {order} cost",
            "no refund for order {order} has reached my account so far",
            "when do I see the money for the {color} {item}, order {order}",
            "I am owed a refund of ({amount} dollars|${amount}) by your shop in {city}",
        ],
        "exchange": [
            "the {item} looks wrong in our room, would you exchange order {order} for {color}",
            "what do I do to exchange {order} for a {color} {item}",
            "a friend of mine wants the {item} in {color}, so exchange order {order}",
            "an exchange for the {item} of order {order} would make me happy",
        ],
        "track": [
            "any news about order {order} on its way to {city}",
            "did you lose order {order}, the {item} was promised for {day}",
            "how far is the {color} {item} from {city} by now",
            "tell me the place of order {order} at this moment",
        ],
        "reschedule": [
            "nobody opens the door before {day}, so deliver order {order} then",
            "would {day} work for the delivery of the {item}, order {order}",
            "let us agree on {day} as the delivery day of order {order}",
            "our house in {city} is empty, move the delivery of the {item} to {day}",
        ],
        "invoice": [
            "tax time is here and the invoice for order {order} is nowhere",
            "my boss in {city} wants to see the invoice for the {item}",
            "an invoice over ({amount} dollars|${amount}) is what I need for order {order}",
            "without the invoice for order {order} I cannot book the {color} {item}",
        ],
        "address": [
            "we live in {city} by now, which address do you have for order {order}",
            "redirect order {order} with the {item} to an address in {city}",
            "there is a mistake in the address of order {order}, the city is {city}",
            "do not use my old address for the {color} {item}, use the one in {city}",
        ],
        "complaint": [
            "what a poor {item}, it fell apart on {day}, order {order}",
            "I opened order {order} and the {color} {item} had a hole in it",
            "never again, the {item} for ({amount} dollars|${amount}) is broken",
            "people in your {city} shop laughed at me because of the broken {item}",
        ],
    },
    leads={
        "low": ["in your own good time, ", "not a pressing matter, but "],
        "normal": [""],
        "high": ["I have run out of patience, ", "help me fast, "],
    },
    tails={
        "low": [", any day will do", ", feel free to do it later"],
        "normal": [""],
        "high": [", every hour counts", ", do it at once"],
    },
    greetings=["(Good evening|Hi there|To whom it may concern), "],
    introductions=["(you are talking to|the name is) {name}. "],
    farewells=[" (Sincerely|Cheers|Many thanks), {name}"],
)  # fmt: skip


class Action(NamedTuple):
    """What the shop says that it will do with an order; parts are said in their order."""

    verb: str
    parts: dict[str, str]  # by field; one without a value is left out


_PARTS = {
    "item": "with the {item}",
    "color": "in {color}",
    "amount": "for {amount} dollars",
    "city": "to {city}",
    "day": "from {day}",
}
ACTIONS = {
    "cancel": Action("cancel", _PARTS),
    "refund": Action("refund", _PARTS | {"city": "in {city}"}),
    "exchange": Action("exchange", _PARTS | {"color": "for one in {color}", "city": "in {city}"}),
    "track": Action("track", _PARTS | {"city": "on the way to {city}", "day": "due on {day}"}),
    "reschedule": Action("move the delivery of", _PARTS | {"city": "in {city}", "day": "to {day}"}),
    "invoice": Action(
        "send the invoice for", _PARTS | {"amount": "over {amount} dollars", "day": "of {day}"}
    ),
    "address": Action("change the address of", _PARTS | {"day": "from {day} on"}),
    "complaint": Action(
        "look into the problem with", _PARTS | {"item": "and the {item}", "city": "in {city}"}
    ),
}
