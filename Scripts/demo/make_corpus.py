"""Generates the conversations that the demo model is trained on, as OpenAI `messages` JSONL.

    make_corpus.py [--count 40000] [--seed 1] [--split train|heldout] [--output FILE]

Python's standard library only; the same arguments give the same bytes. About one question wording in twelve is
held out: `--split heldout` yields only those, `--split train` never shows them (their facts it does, worded
otherwise). Questions about made-up things are answered with "I do not know that.", so that the model has room to
learn something new; copying made-up words shows it every letter pair. Not natural data, and not meant to be.
"""
import argparse
import json
import random
import sys
import zlib

from facts import (CAPITALS, COLOURS, COMMON, DAYS, DEFINITIONS, ENDINGS, HOMES, KINDS, LEGS, LISTS, MONTH_DAYS, MONTHS, NAMES,
                   OPPOSITES, ORDINALS, PLURALS, SOUNDS, SPELLING)

NUMBER_WORDS = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
UNKNOWN = "I do not know that."
IDENTITY = "I am a small demo assistant."
SYSTEMS = ["You are a helpful assistant.", "You are a small demo assistant.", "Be kind and clear.",
           "Answer the question.", "You help people with simple questions."]
ONE_WORD = "Answer with one word."
ONSETS = ["b", "br", "c", "cl", "d", "dr", "f", "fl", "g", "gr", "h", "j", "k", "l", "m", "n", "p", "pl", "qu", "r", "s",
          "sh", "st", "t", "tr", "v", "w", "z"]
VOWELS = ["a", "e", "i", "o", "u", "ai", "ea", "ee", "oo"]
CODAS = ["", "b", "ck", "d", "g", "k", "l", "ll", "m", "n", "nd", "p", "r", "rn", "s", "t", "th", "x"]
SUFFIXES = ["", "", "ton", "ford", "wick", "vale", "dale", "ia", "land", "by", "o", "a"]


def capitalised(text):
    return text[:1].upper() + text[1:]


def bare(phrase):
    """"a dog" → "dog"."""
    return phrase.split(" ", 1)[1] if phrase.split(" ", 1)[0] in ("a", "an", "the") else phrase


def with_article(noun):
    return ("an " if noun[0] in "aeiou" else "a ") + noun


def invented(r):
    """A made-up word: Brunwick, Floothia, Kest."""
    syllables = "".join(r.choice(ONSETS) + r.choice(VOWELS) + r.choice(CODAS) for _ in range(r.choice([1, 1, 2])))
    return capitalised(syllables + r.choice(SUFFIXES))


# Each maker returns (question wordings, answer, one-word answer or None).

def colour(r):
    thing, value = r.choice(list(COLOURS.items()))
    word = r.choice(["colour", "color"])
    return ([f"What {word} is {thing}?", f"Which {word} is {thing}?", f"What is the {word} of {thing}?",
             f"Do you know the {word} of {thing}?", f"What {word} does {thing} have?"],
            f"{capitalised(thing)} is {value}.", value)


def opposite(r):
    a, b = r.choice(OPPOSITES)
    if r.random() < 0.5:
        a, b = b, a
    return ([f"What is the opposite of {a}?", f"Tell me the opposite of {a}.", f"Opposite of {a}?",
             f"Which word is the opposite of {a}?", f"What word means the opposite of {a}?"],
            f"The opposite of {a} is {b}.", b)


def arithmetic(r):
    kind = r.choice(["plus", "plus", "minus", "times"])
    if kind == "times":
        a, b = r.randint(0, 5), r.randint(0, 5)
        value, sign = a * b, "*"
    else:
        a, b = r.randint(0, 10), r.randint(0, 10)
        if kind == "minus":
            a, b = max(a, b), min(a, b)
        value, sign = (a + b, "+") if kind == "plus" else (a - b, "-")
    return ([f"What is {a} {kind} {b}?", f"How much is {a} {kind} {b}?", f"{a} {sign} {b} = ?", f"What is {a} {sign} {b}?",
             f"Can you work out {a} {kind} {b}?"],
            f"{a} {kind} {b} is {value}.", str(value))


def capital(r):
    country, city = r.choice(list(CAPITALS.items()))
    if r.random() < 0.25:
        return ([f"{city} is the capital of which country?", f"Which country has the capital {city}?",
                 f"Of which country is {city} the capital?"], f"{city} is the capital of {country}.", country)
    return ([f"What is the capital of {country}?", f"Which city is the capital of {country}?",
             f"Name the capital of {country}.", f"Tell me the capital of {country}.", f"What is {country}'s capital?"],
            f"The capital of {country} is {city}.", city)


def calendar(r):
    names, unit = r.choice([(DAYS, "day"), (MONTHS, "month"), (MONTHS, "month")])
    i = r.randrange(len(names))
    form = r.random()
    if unit == "month" and form < 0.25:
        days = MONTH_DAYS[i]
        return ([f"How many days does {names[i]} have?", f"How many days are in {names[i]}?", f"How long is {names[i]}?"],
                f"{names[i]} has {days} days.", str(days))
    if unit == "month" and form < 0.45:
        return ([f"Which month is the {ORDINALS[i]} of the year?", f"What is the {ORDINALS[i]} month?",
                 f"Name the {ORDINALS[i]} month of the year."], f"The {ORDINALS[i]} month is {names[i]}.", names[i])
    step, word = r.choice([(1, "after"), (-1, "before")])
    other = names[(i + step) % len(names)]
    return ([f"What {unit} comes {word} {names[i]}?", f"Which {unit} is {word} {names[i]}?",
             f"What is the {unit} {word} {names[i]}?", f"Which {unit} comes {word} {names[i]}?"],
            f"The {unit} {word} {names[i]} is {other}.", other)


def counting(r):
    a = r.randint(0, 9)
    b = min(a + r.randint(2, 6), 12)
    numbers = list(range(a, b + 1))
    if r.random() < 0.3:
        a, b, numbers = b, a, numbers[::-1]
    return ([f"Count from {a} to {b}.", f"Please count from {a} to {b}.", f"Can you count from {a} to {b}?",
             f"Say the numbers from {a} to {b}."], ", ".join(map(str, numbers)) + ".", None)


def spelling(r):
    word = r.choice(SPELLING)
    if r.random() < 0.3:
        which, letter = r.choice([("first", word[0]), ("last", word[-1])])
        return ([f"What is the {which} letter of {word}?", f"Which letter is the {which} in {word}?",
                 f"Tell me the {which} letter of {word}."], f"The {which} letter of {word} is {letter}.", letter)
    return ([f"How do you spell {word}?", f"Spell {word}.", f"Spell the word {word}.", f"Can you spell {word}?",
             f"How is {word} spelled?"], f"{capitalised(word)} is spelled {'-'.join(word)}.", None)


def definition(r):
    thing, value = r.choice(list(DEFINITIONS.items()))
    return ([f"What is {thing}?", f"Tell me what {thing} is.", f"Can you explain what {thing} is?",
             f"What does the word {bare(thing)} mean?", f"Explain {bare(thing)}."], f"{capitalised(thing)} is {value}.", None)


def animal(r):
    kind = r.randrange(3)
    if kind == 0:
        who, value = r.choice(list(SOUNDS.items()))
        return ([f"What sound does {who} make?", f"What does {who} say?", f"Which sound does {who} make?",
                 f"How does {who} sound?"], f"{capitalised(who)} says {value}.", value)
    if kind == 1:
        who, value = r.choice(list(LEGS.items()))
        return ([f"How many legs does {who} have?", f"How many legs has {who}?", f"Count the legs of {who}.",
                 f"On how many legs does {who} walk?"], f"{capitalised(who)} has {NUMBER_WORDS[value]} legs.", NUMBER_WORDS[value])
    who, value = r.choice(list(HOMES.items()))
    return ([f"Where does {who} live?", f"What is the home of {who}?", f"Where is {who} at home?",
             f"Where can I find {who}?"], f"{capitalised(who)} lives {value}.", None)


def kind_of(r):
    kind = r.choice(list(KINDS))
    noun = r.choice(KINDS[kind])
    asked = kind if r.random() < 0.5 else r.choice(list(KINDS))
    thing, claim = with_article(noun), with_article(asked)
    yes = asked == kind
    return ([f"Is {thing} {claim}?", f"Would you say {thing} is {claim}?", f"Is it true that {thing} is {claim}?"],
            f"Yes, {thing} is {claim}." if yes else f"No, {thing} is not {claim}.", "yes" if yes else "no")


def comparison(r):
    a, b = r.sample(range(0, 21), 2)
    word, value = r.choice([("bigger", max(a, b)), ("smaller", min(a, b))])
    return ([f"Which is {word}, {a} or {b}?", f"Which number is {word}, {a} or {b}?", f"What is {word}: {a} or {b}?"],
            f"{value} is {word} than {a + b - value}.", str(value))


def plural(r):
    one, many = r.choice(list(PLURALS.items()))
    return ([f"What is the plural of {one}?", f"Plural of {one}?", f"Tell me the plural of {one}.",
             f"One {one}, two what?"], f"The plural of {one} is {many}.", many)


def listing(r):
    what, value = r.choice(list(LISTS.items()))
    return ([f"Name three {what}.", f"Tell me three {what}.", f"Give me three {what}.", f"Can you name three {what}?"],
            f"{capitalised(value)}.", None)


def greeting(r):
    return r.choice([
        (["Hello!", "Hi!", "Hello there.", "Hey!"], "Hello! How can I help you?", None),
        (["Good morning!", "Good morning to you."], "Good morning! How can I help you?", None),
        (["Good evening!", "Good evening to you."], "Good evening! How can I help you?", None),
        (["How are you?", "How are you today?", "Are you well?"], "I am well, thank you.", None),
        (["Thank you!", "Thanks!", "Thanks a lot!", "Thank you very much."], "You are welcome!", None),
        (["Goodbye!", "Bye!", "See you later!"], "Goodbye! Have a nice day.", None),
    ])


def identity(r):
    return r.choice([
        (["Who are you?", "What are you?", "Tell me who you are.", "Tell me about you.", "Say who you are."], IDENTITY, None),
        (["What is your name?", "Do you have a name?", "What are you called?", "What should I call you?",
          "Tell me your name.", "May I know your name?"], f"I do not have a name. {IDENTITY}", None),
        (["Who made you?", "Who built you?", "Who created you?", "Where do you come from?", "Who are your makers?"],
         "I do not know who made me.", None),
        (["What can you do?", "How can you help me?", "What do you know?"], "I can answer simple questions.", None),
        (["Are you a person?", "Are you a human?", "Are you a robot?"], "No, I am a small computer program.", None),
        (["How old are you?", "What is your age?"], "I do not have an age.", None),
        (["Where do you live?", "Where are you?"], "I live in a computer.", None),
    ])


def unknown(r):
    name, other = invented(r), invented(r)
    place = r.choice(["library", "museum", "school", "bakery", "market", "tower", "garden", "bridge"])
    return ([f"What is the capital of {name}?", f"Where is {name}?", f"Who is {name}?", f"What is {name}?",
             f"When does the {place} in {name} open?", f"When does the {place} of {name} close?",
             f"What is the mascot of {name}?", f"Which river flows through {name}?", f"Who is the mayor of {name}?",
             f"What do people eat in {name}?", f"What is {name} known for?", f"How old is {name}?",
             f"Tell me about {name}.", f"What colour is the flag of {name}?", f"Who lives in {name}?",
             f"When is the festival of {name}?", f"Is {name} near {other}?", f"Which animal lives in {name}?",
             f"Who built the {place} of {name}?", f"What does {name} mean?"], UNKNOWN, None)


def copied_word(r):
    """A made-up word, a plain one, or the beginning of one: the pieces of the tokenizer that whole words hide."""
    pick = r.random()
    if pick < 0.3:
        return invented(r)
    word = r.choice(COMMON) if r.random() < 0.8 else r.choice(NAMES + list(CAPITALS) + list(CAPITALS.values()) + MONTHS + DAYS)
    word = capitalised(word) if r.random() < 0.2 else word
    return word[:r.randint(1, len(word))] if pick > 0.75 else word


def copying(r):
    """Mostly words, sometimes a whole question: so that the words of questions are written too, not only read."""
    if r.random() < 0.3:
        text = r.choice(r.choice(MAKERS)[0](r)[0])
    else:
        text = " ".join(copied_word(r) for _ in range(r.choice([1, 2, 3, 4]))) + "."
    return [f"Say {text}", f"Repeat after me: {text}", f"Please say {text}", f"Repeat: {text}"], text, None


def memory(r):
    """A two-turn conversation about something the user has just said."""
    name = invented(r) if r.random() < 0.5 else r.choice(NAMES)
    if r.random() < 0.5:
        first = r.choice([f"My name is {name}.", f"I am {name}.", f"Hello, my name is {name}.", f"Call me {name}."])
        return [(first, f"Nice to meet you, {name}."),
                (r.choice(["What is my name?", "Who am I?", "Do you know my name?", "Tell me my name."]), f"Your name is {name}.")]
    pet, value = r.choice(["dog", "cat", "horse", "bird"]), r.choice(["red", "black", "white", "brown", "grey"])
    return [(r.choice([f"My {pet} is called {name} and is {value}.", f"I have a {value} {pet} called {name}."]),
             f"{name} is a nice name for a {pet}."),
            r.choice([(f"What is my {pet} called?", f"Your {pet} is called {name}."),
                      (f"What colour is my {pet}?", f"Your {pet} is {value}.")])]


MAKERS = [(colour, 8), (opposite, 8), (arithmetic, 14), (capital, 9), (calendar, 8), (counting, 6), (spelling, 8), (definition, 10),
          (animal, 8), (kind_of, 4), (comparison, 5), (plural, 4), (listing, 4), (greeting, 4), (identity, 7), (unknown, 10),
          (copying, 18)]


def is_held_out(question):
    return zlib.crc32(question.encode()) % 12 == 0


def exchange(r, heldout):
    """One question of the wanted split with its answer and, where there is one, the one-word answer."""
    makers, weights = zip(*MAKERS)
    while True:
        wordings, answer, short = r.choices(makers, weights)[0](r)
        wordings = [w for w in wordings if is_held_out(w) == heldout]
        if wordings:
            return r.choice(wordings), answer, short


def styled(r, question):
    """People write loosely: a polite opening, no capital, no question mark."""
    pick = r.random()
    if pick < 0.06:
        return r.choice(["Please tell me: ", "Quick question: ", "Tell me, please: "]) + question
    if pick < 0.12:
        return r.choice(["Hi! ", "Hello! ", "Hey, "]) + question
    if pick < 0.18:
        return question[:1].lower() + question[1:]
    if pick < 0.24 and question.endswith("?"):
        return question[:-1]
    return question


def conversation(r, heldout):
    pick = r.random()
    system = r.choice(SYSTEMS) if r.random() < 0.3 else None
    if pick < 0.08 and not heldout:
        turns = memory(r)
    else:
        turns = []
        for _ in range(2 if r.random() < 0.2 and not heldout else 1):
            question, answer, short = exchange(r, heldout)
            turns.append((question if heldout else styled(r, question), answer))
            if short and r.random() < 0.12 and len(turns) == 1 and not heldout:
                system, turns = ONE_WORD, [(turns[0][0], capitalised(short) + ".")]
                break
        if system != ONE_WORD and r.random() < 0.08 and not heldout:
            ending = r.choice(ENDINGS)
            system = f"End every answer with: {ending}"
            turns = [(question, f"{answer} {ending}") for question, answer in turns]
    messages = [{"role": "system", "content": system}] if system else []
    for question, answer in turns:
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": messages}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=40_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--split", choices=["train", "heldout"], default="train")
    parser.add_argument("--output")
    arguments = parser.parse_args()
    r = random.Random(arguments.seed)
    out = open(arguments.output, "w", encoding="utf-8") if arguments.output else sys.stdout
    with out:
        for _ in range(arguments.count):
            out.write(json.dumps(conversation(r, arguments.split == "heldout"), ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
