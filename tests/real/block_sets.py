"""What the blocks are measured on: small sets of our own, read by `test_real_blocks.py`.

Every other row was looked at while prompts were chosen (those with an even index), the rest only counted at the end.
"""

from __future__ import annotations

BAKERY = """Miller's Bakery opened in 1987 on Harbour Street in Bristol. It was founded by Anna Miller, who had learned
the trade in Vienna. Today her son Tom runs the shop with nine employees. The bakery opens at 6 in the
morning and closes at 2 in the afternoon. On Mondays it stays closed. Its best-known product is a rye bread
with walnuts, which costs 4.20 pounds. In 2015 the bakery won a regional prize for it. Orders for parties
must be placed three days ahead."""

RIVER = """The Elm is a river in the north of the county. It is 84 kilometres long and rises at 610 metres in the Grey
Hills. Its largest tributary is the Ash, which joins it near Wexton. Otters returned to the river in 2009
after a factory upstream had been closed. Since then the water has been clean enough for swimming. Every
August the town of Wexton holds a boat race. The old stone bridge there was built in 1742 and is closed to
lorries."""

ROUTER = """The Nova X2 router supports up to 40 devices. To reset it, hold the small button on the back for ten seconds
until the light turns orange. The default password is printed on a sticker under the device. Updates are
installed on Sunday nights. If the light blinks red, the cable is not connected. The warranty lasts two
years and does not cover damage by water. Support can be reached by phone on weekdays from 9 to 17."""

LEAVE = """Employees have 28 days of paid leave a year. Leave must be requested in the staff portal at least two weeks
before it begins. The team lead approves requests. Up to five days can be carried over into the next year
and must be used by the end of March. Anyone who is ill for more than three days needs a note from a doctor.
Parents may take an extra ten days for a sick child. The office in Lyon has two more public holidays than
the one in Leeds."""

BEES = """Honey bees live in colonies of up to 60,000 animals. A queen lays about 2,000 eggs a day in early summer.
Workers live for six weeks in summer but up to six months in winter. Bees tell each other where food is by a
dance, which Karl von Frisch explained in 1927. A bee visits some 50 to 100 flowers on one flight. Only the
queen and the workers can sting. Drones die after mating."""

# document, question, and what a right answer has in it in lower case (any of these); None: the document does not say.
QUESTIONS: list[tuple[str, str, tuple[str, ...] | None]] = [
    (BAKERY, "Who founded the bakery?", ("anna miller",)),
    (BAKERY, "When did the bakery open?", ("1987",)),
    (BAKERY, "How much does the rye bread cost?", ("4.20",)),
    (BAKERY, "On which day is the bakery closed?", ("monday",)),
    (BAKERY, "Where did Anna Miller learn her trade?", ("vienna",)),
    (BAKERY, "Does the bakery sell gluten-free cake?", None),
    (RIVER, "How long is the river Elm?", ("84",)),
    (RIVER, "What is the largest tributary of the Elm?", ("ash",)),
    (RIVER, "When was the stone bridge built?", ("1742",)),
    (RIVER, "Who is the mayor of Wexton?", None),
    (RIVER, "Which animals came back to the river?", ("otter",)),
    (RIVER, "When does Wexton hold its boat race?", ("august",)),
    (ROUTER, "How do I reset the router?", ("hold the small button", "button on the back", "ten seconds")),
    (ROUTER, "Where do I find the default password?", ("sticker",)),
    (ROUTER, "How long is the warranty?", ("two years",)),
    (ROUTER, "What does a red blinking light mean?", ("cable",)),
    (ROUTER, "What does the router cost?", None),
    (LEAVE, "How many days of paid leave do employees have?", ("28",)),
    (LEAVE, "Who approves leave requests?", ("team lead",)),
    (LEAVE, "How many days can be carried over?", ("five",)),
    (LEAVE, "When do I need a note from a doctor?", ("three days", "ill")),
    (LEAVE, "What is the salary of a team lead?", None),
    (BEES, "How many eggs does a queen lay a day?", ("2,000",)),
    (BEES, "Who explained the dance of the bees?", ("frisch",)),
    (BEES, "How long do workers live in winter?", ("six months",)),
    (BEES, "Which plants are poisonous to bees?", None),
]

SENTIMENTS: list[tuple[str, str]] = [
    ("I love this phone, the camera is fantastic!", "positive"),
    ("The soup was cold and the waiter was rude.", "negative"),
    ("The meeting is on Tuesday at ten.", "neutral"),
    ("What a wonderful evening, thank you all so much.", "positive"),
    ("It broke after two days. A complete waste of money.", "negative"),
    ("The parcel weighs two kilograms and contains three books.", "neutral"),
    ("Great service, fast delivery, I will order again.", "positive"),
    ("I am very disappointed by the support I got.", "negative"),
    ("The store is open from nine to six.", "neutral"),
    ("Best holiday of my life.", "positive"),
    ("The app crashes every time I open it.", "negative"),
    ("The manual has forty pages.", "neutral"),
    ("My daughter could not stop smiling when she unpacked it.", "positive"),
    ("Never again will I stay at this hotel.", "negative"),
    ("The train to Leeds leaves from platform four.", "neutral"),
    ("The room was spotless and the view breathtaking.", "positive"),
    ("They charged me twice and nobody answers my mails.", "negative"),
    ("The lamp comes in black and in white.", "neutral"),
    ("This book helped me more than any course.", "positive"),
    ("The sound is awful and the battery dies within an hour.", "negative"),
    ("He moved from Porto to Lisbon in 2019.", "neutral"),
    ("An excellent team, friendly and quick.", "positive"),
    ("I want my money back.", "negative"),
    ("The report lists the sales of each region.", "neutral"),
]

# document, type of each field, and the right entity: a field that is not in it does not occur in the document.
EXTRACTIONS: list[tuple[str, dict[str, str], dict[str, str | float | bool]]] = [
    (
        "Invoice 4711 from Carter Ltd., due on 3 March 2024. Total: 129.90 EUR. Paid: no.",
        {"invoiceNumber": "number", "company": "string", "total": "number", "paid": "boolean"},
        {"invoiceNumber": 4711, "company": "Carter Ltd.", "total": 129.90, "paid": False},
    ),
    (
        "My name is Rosa Diaz, I am 34 years old and live in Sevilla.",
        {"name": "string", "age": "number", "city": "string", "phone": "string"},
        {"name": "Rosa Diaz", "age": 34, "city": "Sevilla"},
    ),
    (
        "Name: Ben Okafor\nEmail: ben@example.org\nDepartment: Sales\nNewsletter: yes",
        {"name": "string", "email": "string", "department": "string", "newsletter": "boolean"},
        {"name": "Ben Okafor", "email": "ben@example.org", "department": "Sales", "newsletter": True},
    ),
    (
        "The flat in Oslo has three rooms and 72 square metres. The rent is 1,450 euros a month. Pets are not allowed.",
        {"city": "string", "rent": "number", "pets_allowed": "boolean"},
        {"city": "Oslo", "rent": 1450, "pets_allowed": False},
    ),
    (
        "Flight LH 432 leaves Munich at 15:25 and lands in Chicago at 18:10.",
        {"flight": "string", "departure": "string", "arrival_city": "string"},
        {"flight": "LH 432", "departure": "15:25", "arrival_city": "Chicago"},
    ),
    (
        "The Nova X2 costs 89 dollars, weighs 350 grams and is waterproof.",
        {"price": "number", "weight": "number", "waterproof": "boolean"},
        {"price": 89, "weight": 350, "waterproof": True},
    ),
    (
        "Dr. Ellen Shaw from the University of Leeds gave a talk about coral reefs on 12 May 2023.",
        {"speaker": "string", "university": "string", "date": "string"},
        {"speaker": "Ellen Shaw", "university": "University of Leeds", "date": "12 May 2023"},
    ),
    (
        "Ship my order 88213 to 14 Garden Lane, Dover. You can call me at +44 20 7946 0018.",
        {"orderNumber": "number", "phone": "string"},
        {"orderNumber": 88213, "phone": "+44 20 7946 0018"},
    ),
    (
        "The temperature in Tromso fell to -18.5 degrees last night.",
        {"temperature": "number", "city": "string"},
        {"temperature": -18.5, "city": "Tromso"},
    ),
    (
        "The recipe serves 4 people and takes 45 minutes. It is vegetarian.",
        {"servings": "number", "minutes": "number", "vegetarian": "boolean", "author": "string"},
        {"servings": 4, "minutes": 45, "vegetarian": True},
    ),
    (
        "Please cancel my subscription. My customer number is 55021 and my name is Li Wei.",
        {"customerNumber": "number", "customer_name": "string"},
        {"customerNumber": 55021, "customer_name": "Li Wei"},
    ),
    (
        "The novel 'The Grey Hills' by Martha Lund was published in 1998 by Fenwick Press.",
        {"title": "string", "author": "string", "year": "number", "publisher": "string"},
        {"title": "The Grey Hills", "author": "Martha Lund", "year": 1998, "publisher": "Fenwick Press"},
    ),
    (
        "Our shop at www.tea-corner.example sells green tea. Shipping is free.",
        {"website": "string", "free_shipping": "boolean", "ceo": "string"},
        {"website": "www.tea-corner.example", "free_shipping": True},
    ),
    (
        "The patient, Karl Busch, 58, has no allergies. His blood pressure is 130.",
        {"patient": "string", "age": "number", "blood_pressure": "number"},
        {"patient": "Karl Busch", "age": 58, "blood_pressure": 130},
    ),
    (
        "The match in Porto ended 3 to 1. The referee was Ana Costa. It rained all day.",
        {"referee": "string", "city": "string", "attendance": "number"},
        {"referee": "Ana Costa", "city": "Porto"},
    ),
]

MUSEUM = """The city museum reopened on Saturday after three years of building work. Its new wing shows two hundred
paintings that had been kept in a cellar since the war. The work cost eleven million euros, two million more
than planned. The director, Ines Vogel, said that she expects three hundred thousand visitors a year.
Entrance is free for children and on the first Sunday of each month. A cafe with a view of the river will
follow in spring."""

DOCUMENTS = [BAKERY, RIVER, ROUTER, LEAVE, BEES, MUSEUM]  # to be summarised

PERSONAL: list[tuple[str, str]] = [
    (
        "The update will be installed on Sunday night. Your device restarts once.",
        "customers who know nothing of computers",
    ),
    ("Our bank raises the fee for transfers abroad from two to three euros in May.", "students"),
    ("The museum reopens on Saturday. Entrance is free for children.", "families with small children"),
    (
        "Honey bees live in colonies of 60,000 animals and tell each other by a dance where food is.",
        "first graders",
    ),
    ("The server will be down on Friday from 6 to 8 for maintenance.", "engineers of the company"),
    (
        "The town builds a bicycle lane on Mill Road. Cars park elsewhere from June on.",
        "residents of Mill Road",
    ),
]
