"""Word lists of the demo: what may be shared by all files, and what is split between them.

Items, colors, days and labels are categories and appear everywhere. Names and cities are proper
names: each data file draws from its own pool, and the base model has never seen the pools of
HELD_OUT and NEW_PATTERNS.
"""

from typing import NamedTuple


def listed(text: str) -> list[str]:
    """The words of a text, in their order."""
    return text.split()


INTENTS = listed("cancel refund exchange track reschedule invoice address complaint")
URGENCIES = listed("low normal high")
FIELDS = listed("order item color amount city day name")  # in the order of a JSON answer

ITEMS = listed("""
    lamp chair table sofa desk shelf mirror carpet pillow blanket kettle toaster blender fridge
    camera phone tablet laptop printer keyboard monitor headset speaker charger backpack suitcase
    wallet jacket sweater shirt scarf watch bicycle helmet tent drill ladder guitar puzzle vase
""")
COLORS = listed("red blue green black white yellow brown grey pink orange")
DAYS = listed("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")


class Pool(NamedTuple):
    """Proper names that only one kind of text may use."""

    names: list[str]
    cities: list[str]


TRAIN_POOL = Pool(
    names=listed("""
        Maria Peter Anna Thomas Laura Daniel Sofia Martin Julia David Elena Simon Clara Robert
        Nina Oscar Eva Felix Irene Lucas Helen Victor Alice Paul Diana Samuel Rosa Kevin Marta
        Adrian Linda Oliver Carla Hugo Ingrid Leon Monica Stefan Vera Philip Tanya Ralph Olga
        George Susan Miguel Hanna Jonas Petra Albert Nadia Emil Greta Ivan Karen Tobias Aaron
        Agnes Alan Amanda Andrea Angus Antonia Arthur Barbara Ben Bernard Bella Boris Brenda
        Brian Caleb Camilla Carlos Caroline Cecilia Charles Chloe Claudia Cora Damian Daphne Dora
        Dylan Edith Eduardo Edwin Eleanor Elisa Ellen Emma Enrique Eric Erika Ernest Estelle
        Eugene Evan Fanny Fiona Florian Frank Freya Gabriel Gemma Gerald Gilbert Giulia Grace
        Graham Gwen Harold Harriet Heidi Henry Howard Ian Ida Igor Isabel Isaac Jacob Jane Jasmin
        Jerome Joel Johann Josef Josephine Karl Kirsten Klaus Lars Leila Lewis Lily Lisa Louis
        Lydia Mabel Malik Marcel Margot Marvin Matilda Maxim Melanie Michael Mina Nathan Neil
        Nicole Nils Noah Nora Norman Omar Otto Owen Pablo Pamela Patrick Pavel Phoebe Priya
        Quentin Rachel Rashid Rebecca Regina Rita Roland Roman Ronja Rowan Rudolf Ruth Sandra
        Sarah Sven Sybil Sylvia Tamara Tariq Theodor Tilda Timothy Trevor Valerie Vanessa
        Vincent Violet Vivian Wendy Werner Wilma Xavier Yvonne Zoe
    """),
    cities=listed("""
        Lisbon Dublin Vienna Prague Oslo Madrid Berlin Geneva Milan Athens Boston Denver Dallas
        Toronto Sydney Cairo Lima Osaka Delhi Nairobi Hamburg Porto Bergen Leeds Lyon Turin
        Seville Ghent Basel Krakow Malmo Aarhus Bristol Houston Perth Bogota Accra Ankara Atlanta
        Austin Baghdad Bangkok Bari Beirut Bergamo Bern Bordeaux Bremen Brighton Brisbane
        Brno Budapest Calgary Caracas Cologne Cordoba Cork Detroit Dresden Dundee Durban
        Edinburgh Espoo Fargo Florence Galway Granada Graz Halifax Hanoi Hanover Istanbul Jakarta
        Kingston Lagos Leipzig Liege Lille Limerick Linz Ljubljana London Lucerne Lund Lusaka
        Malaga Manila Melbourne Miami Minsk Montreal Munich Murcia Odense Omaha Orlando Oxford
        Padua Palermo Paris Parma Pisa Plymouth Portland Poznan Rabat Reims Riga Rome Sheffield
        Siena Split Stockholm Tirana Trento Trieste Tunis Turku Uppsala Venice Verona
        Wellington Winnipeg York Zagreb
    """),
)
HELD_OUT_POOL = Pool(
    names=listed("""
        Walter Bianca Gordon Ramona Dennis Fatima Henrik Joanna Curtis Selma Norbert Yasmin
        Edgar Paloma Ruben Celine Magnus Teresa Bruno Ottilie Amir Lorena Gustav Noemi
    """),
    cities=listed("""
        Zurich Warsaw Naples Bilbao Chicago Quito Helsinki Marseille Glasgow Utrecht Santiago
        Kyoto Tampa Rostock Cardiff Nantes
    """),
)
NEW_PATTERNS_POOL = Pool(
    names=listed("""
        Conrad Judith Rafael Astrid Desmond Lucia Hector Mireille Anton Beatrix Fabian Salome
        Cedric Ursula Dmitri Wanda Lorenz Esther Julian Ophelia
    """),
    cities=listed("""
        Antwerp Valencia Genoa Tallinn Seattle Havana Mumbai Rotterdam Belfast Gdansk Toulouse
        Adelaide Salzburg Memphis
    """),
)

# What a label word means, for the small talk that teaches the base to write it in quotes.
MEANINGS = {
    "cancel": "to stop something before it happens",
    "refund": "money that you get back",
    "exchange": "to give one thing and get another",
    "track": "to follow where something is",
    "reschedule": "to move something to another day",
    "invoice": "a paper that says what you have to pay",
    "address": "the place where somebody lives",
    "complaint": "words about something that went wrong",
    "low": "not much or not high",
    "normal": "the way things are most of the time",
    "high": "far above the ground or very much",
    "intent": "what somebody wants to do",
    "urgency": "how soon something has to happen",
    "fields": "places that hold one value each",
    "order": "something that you asked a shop to send",
    "item": "one single thing",
    "color": "what red and blue are",
    "amount": "how much there is of something",
    "city": "a large town",
    "day": "the time from one morning to the next",
    "name": "the word by which we call somebody",
}

FOODS = listed("bread soup rice pasta salad cheese butter honey cake fish corn tea coffee")
ANIMALS = listed("dog cat horse cow bird fish mouse sheep rabbit duck bear fox")
HOBBIES = listed("reading cooking running singing painting gardening swimming dancing chess")
OPPOSITES = {
    "big": "small",
    "hot": "cold",
    "fast": "slow",
    "old": "new",
    "early": "late",
    "high": "low",
    "full": "empty",
    "open": "closed",
    "light": "heavy",
    "dark": "bright",
    "long": "short",
    "loud": "quiet",
    "hard": "soft",
    "wet": "dry",
    "rich": "poor",
}
COLORED_THINGS = {
    "grass": "green",
    "snow": "white",
    "the sky": "blue",
    "coal": "black",
    "a lemon": "yellow",
    "blood": "red",
    "wood": "brown",
    "an elephant": "grey",
    "a carrot": "orange",
    "a flamingo": "pink",
}
