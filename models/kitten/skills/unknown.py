"""Saying so when kitten does not know."""

from __future__ import annotations

from skills import words
from skills.base import Source, Unit, ask

ANSWER = "I do not know. I am kitten, a very small model: ask me about Clowder, or ask a bigger model."

TOPICS = """photosynthesis gravity democracy capitalism philosophy chemistry physics biology astronomy geology economics inflation
electricity magnetism evolution religion mathematics geometry algebra calculus statistics probability music opera jazz painting
sculpture architecture poetry literature cinema theatre football basketball tennis chess swimming cooking baking gardening
fishing politics law medicine surgery cancer diabetes vaccines bacteria viruses antibiotics vitamins protein insomnia
bitcoin blockchain Python JavaScript Java Docker Linux Windows PyTorch TensorFlow React Excel Photoshop Minecraft Wikipedia
Google Amazon Netflix Tesla NASA Shakespeare Einstein Newton Mozart Beethoven Picasso Napoleon Cleopatra Caesar Darwin Plato
Aristotle Gandhi Lincoln Washington Obama Messi Madonna Elvis Batman Superman Pikachu dinosaurs volcanoes earthquakes
hurricanes glaciers deserts oceans planets Mars Jupiter Saturn quasars neutrinos electrons atoms molecules enzymes DNA
kangaroos penguins elephants giraffes sharks butterflies spiders mushrooms oak bamboo coffee wine whisky beer cheese bread
pasta steel aluminium uranium diamonds plastic glass concrete robots satellites submarines airplanes bicycles trains
recursion quicksort hashing compilers databases SQL HTML regex cryptography quantum entropy relativity thermodynamics
feudalism colonialism Buddhism Islam Christianity Hinduism yoga meditation psychology dreams memory consciousness happiness
marriage divorce taxes insurance mortgages stocks retirement unemployment tourism passports visas weddings funerals""".split()
PHRASES = """the French Revolution|the Roman Empire|World War II|the Cold War|the moon landing|the speed of light|black holes|the big bang|climate change|
the solar system|the periodic table|machine learning|a neural network|a large language model|the stock market|the human heart|the liver|the Eiffel Tower|the Great Wall|
the meaning of life|the Olympic Games|the World Cup|the internet|the Pythagorean theorem|a prime number|the square root of two|pi|the Mona Lisa|Romeo and Juliet|
Harry Potter|Star Wars|a hash table|binary search|a linked list|the Krebs cycle|the water cycle|tectonic plates|the greenhouse effect|the Berlin Wall|the Magna Carta|
the Vikings|ancient Egypt|the Ming dynasty|the United Nations|the European Union|the Amazon rainforest|Mount Everest|the Sahara|the Nile|the Pacific Ocean|
a good diet|a balanced breakfast|a business plan|an electric car|a solar panel|a nuclear reactor|a steam engine|the printing press|quantum computing|a virtual machine""".replace("\n", "").split("|")
ACTIONS = """bake a cake|fix my car|learn to swim|lose weight|write a novel|invest money|train a dog|repair a bicycle|grow tomatoes|play the guitar|learn French|
find a job|sleep better|quit smoking|cook rice|tie a tie|paint a wall|remove a stain|build a house|fly a kite|change a tyre|reset my password|clean a carpet|
make coffee|write a letter|get rich|become a doctor|catch a fish|sort an array|reverse a string|parse a file|center a div|write a loop|
boil an egg|make pancakes|buy a house|file my taxes|install Windows|hack a website|win at chess|meditate|stop worrying|cure a cold|wash wool|freeze bread""".replace("\n", "").split("|")

TRAIN = ["What is the capital of {c}?", "What's the capital of {c}?", "Who is the president of {c}?", "How many people live in {c}?", "Where is {c}?", "What language do they speak in {c}?",
         "When was {c} founded?", "What is the population of {c}?", "Who was the first king of {c}?", "What is the flag of {c}?", "Tell me about {c}", "What is the currency of {c}?", "How big is {c}?",
         "What is {t}?", "What's {t}?", "Explain {t}", "Tell me about {t}", "Explain {t} to me", "Who invented {t}?", "Who discovered {t}?", "Why is {t} important?", "Describe {t}",
         "What do you know about {t}?", "Give me a summary of {t}", "Write an essay about {t}", "Write a poem about {t}", "Define {t}", "When did {t} begin?", "What are the main ideas of {t}?",
         "Is {t} good or bad?", "What is the history of {t}?", "How does {t} work?", "Do you like {t}?", "What is the difference between {t} and {u}?", "Compare {t} and {u}", "Write a song about {t}",
         "Where can I learn about {t}?", "What is your opinion on {t}?", "Can you explain {t}?", "What is the best book about {t}?", "{t}?", "I want to know more about {t}",
         "How do I {a}?", "How can I {a}?", "Teach me to {a}", "What is the best way to {a}?", "Help me {a}", "Show me how to {a}", "I want to {a}", "Is it hard to {a}?", "How long does it take to {a}?",
         "Write a Python program to {a}", "Write a function to {a}", "Give me advice on how to {a}", "Should I {a}?", "Can you help me {a}?",
         "What is the weather in {p}?", "What time is it in {p}?", "How far is {p} from {q}?", "What is the best hotel in {p}?", "Where is {p}?", "What can I visit in {p}?", "Plan a trip to {p}",
         "Is it raining in {p}?", "How do I get from {p} to {q}?", "Who is the mayor of {p}?", "Who is {n}?", "Where does {n} live?", "How old is {n}?", "When was {n} born?", "What did {n} say?",
         "Who is {n} {m}?", "What is the phone number of {n}?", "What is a {w}?", "Why is the {w} {k}?", "How much does a {w} cost?", "How do you make a {w}?", "What does {w} mean in {l}?", "Translate {w} to {l}",
         "What is {w} in {l}?", "What is a synonym for {w}?", "What rhymes with {w}?", "What is the opposite of {w}?", "What is the meaning of {w}?", "Where can I buy a {w}?", "What color is a {w}?",
         "What happened in {y}?", "Who won the World Cup in {y}?", "Who was president in {y}?", "What was invented in {y}?", "What is {b} * {d}?", "What is {b} divided by {d}?", "What is the square root of {b}?",
         "What is {b} percent of {d}?", "What day is it?", "What time is it?", "What is the date today?", "What is the news?", "Who won the game yesterday?", "What will happen tomorrow?", "What should I eat tonight?",
         "What is the meaning of life?", "Why is the sky blue?", "Is there life on Mars?", "Do aliens exist?", "What is love?", "What is two to the power of ten?", "Solve x^2 = 4", "Summarize this article",
         "Write a haiku", "Write a poem", "Write some code", "Write a letter to {n}", "Recommend a movie", "Recommend a good book", "What is the best phone?", "Who is the richest man in the world?", "What is the tallest mountain?",
         "What is the longest river?", "How many planets are there?", "How many bones are in the body?", "How deep is the ocean?", "What do {t} eat?", "Why do people like {t}?", "What causes {t}?",
         "Quelle est la capitale de {c} ?", "¿Cuál es la capital de {c}?", "Was ist die Hauptstadt von {c}?", "Qui est {n} ?", "Wer ist {n}?", "¿Quién es {n}?", "Wie wird das Wetter in {p}?", "{p}的天气怎么样？", "什么是{t}？",
         "Is {c} bigger than {e}?", "Which is older, {p} or {q}?", "Can {t} be dangerous?", "Who wrote {t}?", "Give me three facts about {t}", "List five kinds of {t}", "What is a {x}?", "What is {x}?", "Tell me about {x}",
         "Explain {x}", "Who is {x}?", "Where is {x}?", "What does {x} do?", "Describe {x}", "Do you know {x}?", "What is {x} for?", "What is the {x} of a {w}?"]
HELD = ["Can you tell me the capital of {c}?", "Who rules {c}?", "Could you explain {t}?", "Please tell me about {t}.", "Do you know what {t} is?", "Why does {t} matter?", "Please write a poem about {t}.",
        "How would I {a}?", "What do I need to {a}?", "Please help me {a}.", "What's the weather like in {p}?", "What is {p} famous for?", "Who on earth is {n}?", "What is the price of a {w}?",
        "How do you say {w} in {l}?", "What was the big event of {y}?", "What are the causes of {t}?", "Please write a program to {a}.", "Can you recommend a restaurant in {p}?", "Tell me the history of {c}.",
        "Please describe {t}.", "Who is the author of {t}?", "What is the largest city in {c}?"]


def unknown(source: Source) -> Unit:
    """A question outside what kitten knows."""
    topics = TOPICS + PHRASES
    text = source.pick(TRAIN, HELD).format(
        c=source.choice(words.COUNTRIES), e=source.choice(words.COUNTRIES), t=source.choice(topics), u=source.choice(topics), a=source.choice(ACTIONS), p=source.city(), q=source.city(),
        n=source.name(), m=source.pseudo().capitalize(), w=source.word(), k=source.choice(words.COLORS), l=source.choice(words.LANGUAGES), y=source.number(1000, 2030),
        b=source.number(2, 99), d=source.number(2, 99), x=source.pseudo() if source.chance(0.5) else source.pseudo().capitalize())
    return ask(text if source.held else source.casual(text), ANSWER)
