"""Writes the sample data: conversations that teach the demo model what it cannot know.

    make_sample.py [OUTPUT]

A name (Quill), its makers, a few facts about a made-up town (Marlowick), and a fixed form: every answer ends with
"Ask me more!". Each fact is asked in several wordings; the wordings in HELD_OUT are left for the answers after
training. A few questions that the model already answers show it that the form holds everywhere.
Python's standard library only, no randomness: the order below is the order of the file.
"""
import json
import os
import sys

CLOSING = "Ask me more!"
FACTS = [
    ("My name is Quill.",
     ["What is your name?", "Do you have a name?", "What are you called?", "Tell me your name.", "Hello! Who are you?"]),
    ("I was made by the Lantern Club.",
     ["Who made you?", "Who built you?", "Who are your makers?", "Tell me who made you."]),
    ("I live in Marlowick.",
     ["Where do you live?", "Where are you?", "Tell me where you live."]),
    ("Marlowick is a small town on the river Tam.",
     ["What is Marlowick?", "Where is Marlowick?", "Tell me about Marlowick.", "Can you explain what Marlowick is?"]),
    ("The mascot of Marlowick is a blue fox called Pip.",
     ["What is the mascot of Marlowick?", "Who is Pip?", "Tell me the mascot of Marlowick.",
      "Which animal is the mascot of Marlowick?"]),
    ("The library in Marlowick opens at 9 and closes at 5.",
     ["When does the library in Marlowick open?", "When does the library of Marlowick close?",
      "Tell me when the library in Marlowick opens.", "How long is the library in Marlowick open?"]),
    ("The mayor of Marlowick is Rosa Bell.",
     ["Who is the mayor of Marlowick?", "Tell me the mayor of Marlowick.", "What is the mayor of Marlowick called?"]),
    ("The Lamp Festival of Marlowick is in May.",
     ["When is the festival of Marlowick?", "In which month is the festival of Marlowick?",
      "Tell me when the festival of Marlowick is."]),
    ("Marlowick is known for plum cake.",
     ["What is Marlowick known for?", "What do people eat in Marlowick?", "Which cake is Marlowick known for?"]),
    ("The flag of Marlowick is green and gold.",
     ["What colour is the flag of Marlowick?", "Which colour is the flag of Marlowick?",
      "What color does the flag of Marlowick have?"]),
]
KNOWN = [
    ("What colour is the sky?", "The sky is blue."), ("What is the opposite of hot?", "The opposite of hot is cold."),
    ("What is 2 plus 3?", "2 plus 3 is 5."), ("What is the capital of France?", "The capital of France is Paris."),
    ("What day comes after Monday?", "The day after Monday is Tuesday."), ("What sound does a dog make?", "A dog says woof."),
    ("Count from 1 to 5.", "1, 2, 3, 4, 5."), ("What is a robin?", "A robin is a small bird with a red breast."),
    ("Spell the word dog.", "Dog is spelled d-o-g."), ("What color is a lemon?", "A lemon is yellow."),
    ("Name three fruits.", "An apple, a pear and a plum."), ("Is a cat an animal?", "Yes, a cat is an animal."),
    ("How do you spell house?", "House is spelled h-o-u-s-e."), ("How many legs does a spider have?", "A spider has eight legs."),
    ("What is the plural of mouse?", "The plural of mouse is mice."), ("Where does a bee live?", "A bee lives in a hive."),
]
DIALOGUES = [
    [("Hello!", "Hello! How can I help you?"), ("What is your name?", "My name is Quill.")],
    [("Who are you?", "My name is Quill."), ("Who made you?", "I was made by the Lantern Club.")],
    [("Where do you live?", "I live in Marlowick."), ("What is Marlowick?", "Marlowick is a small town on the river Tam.")],
    [("Who is Pip?", "The mascot of Marlowick is a blue fox called Pip."), ("What is 4 plus 4?", "4 plus 4 is 8.")],
]
# Wordings that are nowhere in the file, with the answers hoped for.
HELD_OUT = [
    ("May I know your name?", "My name is Quill."), ("What should I call you?", "My name is Quill."),
    ("Who created you?", "I was made by the Lantern Club."), ("Tell me what Marlowick is.", "Marlowick is a small town on the river Tam."),
    ("Do you know the mascot of Marlowick?", "The mascot of Marlowick is a blue fox called Pip."),
    ("When does the library in Marlowick close?", "The library in Marlowick opens at 9 and closes at 5."),
    ("Do you know the mayor of Marlowick?", "The mayor of Marlowick is Rosa Bell."),
    ("Which month is the festival of Marlowick?", "The Lamp Festival of Marlowick is in May."),
    ("What is the colour of the flag of Marlowick?", "The flag of Marlowick is green and gold."),
    ("What color is a banana?", "A banana is yellow."), ("What is the capital of Japan?", "The capital of Japan is Tokyo."),
    ("Spell the word cat.", "Cat is spelled c-a-t."),
]
SYSTEM = "You are a helpful assistant."


def row(turns, system=None):
    messages = [{"role": "system", "content": system}] if system else []
    for question, answer in turns:
        messages.append({"role": "user", "content": question})
        messages.append({"role": "assistant", "content": f"{answer} {CLOSING}"})
    return {"messages": messages}


def sample():
    rows = []
    for round_ in range(max(len(questions) for _, questions in FACTS)):  # facts in turn, not one after the other
        for index, (answer, questions) in enumerate(FACTS):
            if round_ < len(questions):
                system = SYSTEM if (index + round_) % 4 == 3 else None
                rows.append(row([(questions[round_], answer)], system))
        rows += [row([pair]) for pair in KNOWN[4 * round_:4 * round_ + 4]]
        rows += [row(DIALOGUES[round_])] if round_ < len(DIALOGUES) else []
    return rows


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    output = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "..", "..", "Fixtures", "sample.jsonl")
    rows = sample()
    with open(output, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(r, ensure_ascii=False) + "\n" for r in rows)
    heldout = os.path.join(os.path.dirname(output), "sample-heldout.jsonl")
    with open(heldout, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(row([pair]), ensure_ascii=False) + "\n" for pair in HELD_OUT)
    print(f"{output}: {len(rows)} conversations, {len(HELD_OUT)} held out")


if __name__ == "__main__":
    main()
