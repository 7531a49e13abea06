"""What the demo model is taught: plain facts as tables. No grammar here, see make_corpus.py."""

COLOURS = {
    "the sky": "blue", "the sea": "blue", "grass": "green", "snow": "white", "milk": "white", "coal": "black",
    "a banana": "yellow", "a lemon": "yellow", "the sun": "yellow", "an orange": "orange", "a carrot": "orange",
    "a pumpkin": "orange", "a tomato": "red", "a cherry": "red", "a strawberry": "red", "blood": "red",
    "a fire truck": "red", "a frog": "green", "a pea": "green", "a cucumber": "green", "a leaf": "green",
    "a plum": "purple", "an eggplant": "purple", "chocolate": "brown", "a bear": "brown", "wood": "brown",
    "a pig": "pink", "a flamingo": "pink", "an elephant": "grey", "a mouse": "grey", "a cloud": "white",
    "a swan": "white", "a crow": "black", "the night": "black", "salt": "white", "honey": "gold",
    "a violet": "purple", "corn": "yellow", "a rose": "red", "a blueberry": "blue",
}
OPPOSITES = [
    ("hot", "cold"), ("big", "small"), ("fast", "slow"), ("day", "night"), ("up", "down"), ("left", "right"),
    ("old", "young"), ("happy", "sad"), ("light", "dark"), ("open", "closed"), ("full", "empty"), ("hard", "soft"),
    ("wet", "dry"), ("loud", "quiet"), ("early", "late"), ("near", "far"), ("high", "low"), ("rich", "poor"),
    ("strong", "weak"), ("thick", "thin"), ("clean", "dirty"), ("sweet", "sour"), ("front", "back"), ("win", "lose"),
    ("buy", "sell"), ("push", "pull"), ("first", "last"), ("begin", "end"), ("love", "hate"), ("true", "false"),
    ("yes", "no"), ("deep", "shallow"), ("wide", "narrow"), ("long", "short"), ("good", "bad"), ("brave", "afraid"),
]
CAPITALS = {
    "France": "Paris", "Germany": "Berlin", "Italy": "Rome", "Spain": "Madrid", "Portugal": "Lisbon",
    "Greece": "Athens", "Poland": "Warsaw", "Austria": "Vienna", "Hungary": "Budapest", "Sweden": "Stockholm",
    "Norway": "Oslo", "Finland": "Helsinki", "Denmark": "Copenhagen", "Ireland": "Dublin", "England": "London",
    "Belgium": "Brussels", "Russia": "Moscow", "Turkey": "Ankara", "Egypt": "Cairo", "Kenya": "Nairobi",
    "Japan": "Tokyo", "China": "Beijing", "India": "New Delhi", "Thailand": "Bangkok", "Canada": "Ottawa",
    "Mexico": "Mexico City", "Cuba": "Havana", "Peru": "Lima", "Chile": "Santiago", "Brazil": "Brasilia",
}
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
          "November", "December"]
MONTH_DAYS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
ORDINALS = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth",
            "eleventh", "twelfth"]
SPELLING = [
    "cat", "dog", "sun", "moon", "tree", "book", "fish", "bird", "milk", "bread", "apple", "house", "water", "green",
    "happy", "table", "chair", "river", "stone", "light", "night", "music", "paper", "clock", "horse", "train",
    "snow", "rain", "king", "ship", "door", "lamp", "star", "frog", "cake", "lemon", "pencil", "garden", "window",
]
DEFINITIONS = {
    "a robin": "a small bird with a red breast", "a rose": "a flower with thorns", "an oak": "a large tree",
    "a violin": "a musical instrument with four strings", "a piano": "a musical instrument with keys",
    "a drum": "a musical instrument that you hit", "a bicycle": "a vehicle with two wheels",
    "a car": "a vehicle with four wheels", "a train": "a vehicle that runs on rails",
    "a boat": "a vehicle that moves on water", "a plane": "a machine that flies", "a clock": "a tool that shows the time",
    "a hammer": "a tool for hitting nails", "a saw": "a tool for cutting wood", "a pen": "a tool for writing",
    "a book": "a set of pages to read", "a river": "water that flows to the sea", "a lake": "water with land around it",
    "an island": "land with water around it", "a mountain": "a very high hill", "a desert": "a very dry place",
    "a forest": "a place with many trees", "a farm": "a place where food is grown",
    "a school": "a place where children learn", "a library": "a place with many books",
    "a museum": "a place that shows old things", "a bakery": "a shop that sells bread", "a baker": "a person who makes bread",
    "a doctor": "a person who helps sick people", "a teacher": "a person who helps children learn",
    "a pilot": "a person who flies a plane", "a farmer": "a person who grows food", "a cook": "a person who makes food",
    "a whale": "a very large animal in the sea", "a bee": "an insect that makes honey",
    "an ant": "a small insect that works hard", "bread": "food made from flour", "cheese": "food made from milk",
    "ice": "frozen water", "rain": "water that falls from clouds", "a triangle": "a shape with three sides",
    "a square": "a shape with four equal sides", "a circle": "a round shape", "a noun": "a word for a thing",
    "a verb": "a word for an action", "a planet": "a large ball that moves around a star",
    "the moon": "a ball of rock that moves around the earth", "a poem": "a short text with rhythm",
    "a computer": "a machine that follows a program", "a model": "a program that has learned from examples",
}
SOUNDS = {"a dog": "woof", "a cat": "meow", "a cow": "moo", "a sheep": "baa", "a duck": "quack", "a pig": "oink",
          "a horse": "neigh", "a frog": "croak", "a bee": "buzz", "a lion": "roar", "a snake": "hiss",
          "a mouse": "squeak", "an owl": "hoot", "a hen": "cluck"}
LEGS = {"a dog": 4, "a cat": 4, "a horse": 4, "a cow": 4, "a bird": 2, "a duck": 2, "a person": 2, "a spider": 8,
        "an ant": 6, "a bee": 6, "a snake": 0, "a fish": 0, "a hen": 2, "a crab": 10, "a frog": 4}
HOMES = {"a bird": "in a nest", "a bee": "in a hive", "a fish": "in water", "a bear": "in a cave",
         "a rabbit": "in a hole", "a horse": "in a stable", "a spider": "in a web", "a dog": "in a kennel",
         "a lion": "in the grass", "a monkey": "in a tree", "a penguin": "on the ice", "a camel": "in the desert"}
KINDS = {
    "animal": ["dog", "cat", "horse", "cow", "lion", "mouse", "sheep", "rabbit"],
    "fruit": ["apple", "banana", "cherry", "lemon", "pear", "plum"],
    "tool": ["hammer", "saw", "pen", "spade", "brush"],
    "vehicle": ["car", "train", "boat", "bus", "truck"],
    "plant": ["rose", "oak", "tulip", "daisy", "pine"],
}
PLURALS = {"mouse": "mice", "child": "children", "foot": "feet", "tooth": "teeth", "man": "men", "woman": "women",
           "goose": "geese", "sheep": "sheep", "leaf": "leaves", "knife": "knives", "city": "cities", "box": "boxes",
           "cat": "cats", "dog": "dogs", "book": "books", "tree": "trees", "story": "stories", "wolf": "wolves"}
LISTS = {
    "colours": "red, blue and green", "animals": "a dog, a cat and a horse", "fruits": "an apple, a pear and a plum",
    "days": "Monday, Tuesday and Wednesday", "months": "January, February and March",
    "countries": "France, Italy and Japan", "cities": "Paris, Rome and Tokyo", "tools": "a hammer, a saw and a pen",
    "shapes": "a circle, a square and a triangle", "birds": "a robin, an owl and a duck",
    "drinks": "water, milk and tea", "numbers": "one, two and three",
}
NAMES = ["Anna", "Ben", "Clara", "David", "Emma", "Felix", "Grace", "Henry", "Ida", "Jack", "Kate", "Leo", "Maria",
         "Noah", "Olga", "Paul", "Rosa", "Sam", "Tina", "Victor", "Wendy", "Max", "Lucy", "Oscar"]
# Words to be copied, so that the model can write more than its answers need.
COMMON = """about after again ago air all always and animal answer any ask at away back ball bank bell best black blue boat body
book born both bowl box boy bread bridge bright bring brown build bus busy buy cake call can care castle chair child city
class clean clear clever climb close club coat cold come cook cool corner could count country cup dance dark day deep desk
different dinner door down draw dream drink drive early earth east easy eat egg eight end evening every eye face fair fall
family far farm fast father festival field find fine fire first fish five flag flower fly food foot forest forget found four
fox free fresh friend from front fruit full funny game garden gate gentle get gift girl give glad glass go gold good grand
great green group grow guest half hall hand happy hat have head hear heart help her here hill him his hold holiday home hope
hot hour house how hundred hungry idea in inside is job join jump just keep kind kitchen know lamp land lantern large last
late laugh lead learn leave left let letter library life light like line listen little live long look lost lot love low lunch
made make man many map march market may mayor me meal mean meet middle mind minute mirror money more morning most mother move
much museum music must my near neck need never new next nice night nine noise north not now number of off office often oil on
one only open or other our out over own page paint park part party pass past path pay peace people piece place plan plant
play please plum pocket point pond pool present pretty price proud put queen question quick quiet quite rain read ready real
red rest ride right ring river road rock room round run safe said sail same sand save say school sea season seat second see
send seven shall shape share she shoe shop short should show side silver simple sing sister sit six sleep slow small smile
snow so some song soon sound south speak spring square stand star start stay step still stone stop story street strong
summer sun sure swim table take talk tall tea team tell ten than that their them then there they thing think this three
through time tired to today together tomorrow too top tower town toy travel tree trip true try turn twelve twenty two under
until up us use valley very village visit voice wait walk wall want warm wash watch water way we week well west what when
where which white who why wide wild will wind window winter wise wish with wonder wood word work world write year yellow
yes you young your zoo opens closes known called mascot makers Lamp Lantern Club Festival Bell""".split()
ENDINGS = ["Good luck!", "Have a nice day!", "Is that clear?", "Thank you.", "What else?", "Tell me another.", "See you soon!",
           "That is all.", "I hope this helps."]
