//! The English sentences of the built-in storyteller, for readers of about seven.
//! `{hero}`, `{friend}`, `{title}`, `{quest}`, `{place}`, `{word}`, `{words}` and `{synopsis}` are filled in by
//! `story`; a capital first letter, as in `{Hero}`, asks for one in the filling.

use super::story::{Tales, Trouble};

/// All English tales.
pub static TALES: Tales = Tales {
    openings_told: &[
        "Once, in a corner of the world so small that the maps forgot it, there lived {a_hero}. Everyone who came by knew one story about {hero}, and its name was {title}.",
        "Come closer and make yourself comfortable, because this is {title}. It is the story of {a_hero} with bright eyes, a warm heart and a great many questions.",
        "Early one morning, when the dew was still asleep on the grass, {a_hero} woke up with a strange new feeling. It was the very first day of {title}.",
        "Some stories begin with a bang. {title} begins with a whisper, and with {a_hero} who stopped to listen to it.",
    ],
    openings_heard: &[
        "Every evening {hero} sat on the wooden porch beside Grandmother, and every evening Grandmother opened one book. Tonight the book was called {title}.",
        "On a rainy afternoon {hero} found a thin blue book behind the sofa. On its cover, in curly golden letters, it said {title}.",
        "{Hero} could not sleep. So Father sat down on the edge of the bed and dimmed the lamp. “I know a story that wants to be told,” he said softly. It was called {title}.",
        "One windy morning a paper bird flew in through the window. When {hero} unfolded it, there was a story inside, and the story was called {title}.",
    ],
    synopses_told: &[
        "It all began like this: {synopsis}",
        "The old trees still tell it this way: {synopsis}",
        "Shall I tell you what happened? Listen: {synopsis}",
    ],
    synopses_heard: &[
        "The story began like this: {synopsis}",
        "“Listen,” said the very first line, and then it went on: {synopsis}",
        "And this is how it went: {synopsis}",
    ],
    synopses_missing: &[
        "Nobody remembers exactly how it began. Some say there was a knock at the door, some say there was a dream. But everybody agrees that it began with a single word, spoken very softly: {word}.",
        "The first page was empty, as white as fresh milk. Only if you held it up to the light could you read one word on it: {word}.",
    ],
    wishes_told: &[
        "“There must be more to find out,” thought {hero}, and could not sit still any longer.",
        "That night {hero} thought about it for a long, long time.",
    ],
    wishes_heard: &[
        "And there the story stopped. The next page was empty! “Then I will find out the rest myself,” said {hero}.",
        "But how did it end? Nobody knew. {Hero} closed both eyes, took a deep breath, and stepped right into the story.",
    ],
    settings_out: &[
        "“I will look for {quest},” said {hero}, and packed a small bag: one apple, one blanket, and three pebbles with a word on each of them, {words}. Just past the gate waited {a_friend}. “May I come too?” asked {friend}. “Two is the best number for a journey,” said {hero}.",
        "So {hero} set out to find {quest}. To remember the way, {hero} made up a little song out of three words: {words}. {A_friend} heard the song, hummed along, and soon the two of them were travelling side by side.",
        "“Somebody has to look for {quest},” said {hero}, “and I think it is me.” {A_friend} peeked out from behind a bush. “Then I think it is me, too!” And off they went, whispering three words to keep up their courage: {words}.",
        "On the road {hero} met {a_friend}, who was drawing in the sand with a stick. “What are you drawing?” “Three words,” said {friend}. “{words_plain}. They came to me in a dream.” {Hero} stared. Those were the very words that led to {quest}! From then on they walked together.",
    ],
    troubles: &[
        Trouble {
            met: "Before long they came to {place}. The path split in three, the wind grew cold, and every way looked just the same. {Hero} felt very small. “I think we are lost,” whispered {friend}.",
            solved: &[
                "Then {hero} remembered the word {word}. They said it aloud together, once, twice, three times, and far away a tiny light answered with a blink. Step by step they followed it, and it never went out.",
                "“Let us sit down and listen,” said {hero}. They shared a biscuit and did not say a thing. And then they heard it: a little stream, singing quietly on its way. They followed the song until they knew where they were.",
            ],
        },
        Trouble {
            met: "The way led them to {place}. There the fog was so thick that {hero} could not see {friend} any more. “Are you still there?” called {hero}. It was quiet for a long, long moment.",
            solved: &[
                "“I am here!” came the answer at last. “Are you here, too?” They called and answered, called and answered, and followed each other's voices until their noses bumped together. Then they laughed so hard that the fog shook, and tore, and floated away.",
                "Then something warm touched {hero}. It was {friend}, who had been there all the time. They tied the two ends of a scarf around themselves, and like that, one slow step after another, they came out into the light.",
            ],
        },
        Trouble {
            met: "When they reached {place}, a gate as tall as a tower stood in the way. It had no handle and no keyhole. {Hero} pushed and {friend} pulled, but the gate only yawned.",
            solved: &[
                "“Perhaps nobody ever asked it nicely,” said {friend}. So {hero} stepped up, bowed, and said, “Good evening, dear gate. May we please come in?” The gate blushed right up to its hinges. Then, very gently, it opened.",
                "“Perhaps it is tired,” said {hero}, and began to tell the gate a bedtime story about {word}. At the first sentence the gate sighed. At the second it smiled. At the third it fell asleep and swung wide open.",
            ],
        },
        Trouble {
            met: "At {place} somebody was crying. It was a cloud, no bigger than a pillow, that had lost its way home. It was getting late, and there was still far to go. {Hero} looked at {friend}. What would you have done?",
            solved: &[
                "“We will take you home first,” said {hero}. They took the little cloud between them and blew, and blew, and blew, all the way up to its mother. The mother cloud was so happy that she carried them both on her back, faster than any bird.",
                "They wrapped the little cloud in their blanket and told it jokes until it giggled. And a giggling cloud begins to glow! All at once there was light enough to see the whole way, right to its end.",
            ],
        },
    ],
    findings: &[
        "And there, at the end of the long way, was {quest}. It was not in a chest and not under a stone. It was a small, warm thing to know: whatever you share with a friend grows bigger. {Hero} laughed, {friend} laughed, and the way home was only half as long.",
        "That was how they found {quest}. It was written on the inside of a leaf, in letters as fine as hair: “You were brave, even when your knees were shaking.” {Hero} read it twice, and {friend} wanted to hear it a third time.",
        "When they stopped to rest, {hero} suddenly understood {quest}. “We were looking far away,” said {hero}, “and it was beside us all the time.” {Friend} nodded, and for a while they were quiet together, the way good friends can be.",
    ],
    endings_told: &[
        "At home a lamp was burning, and there was soup for two. And whenever anyone asks about {title}, {hero} and {friend} look at each other, smile, and begin to tell it together.",
        "Since that day {hero} is no longer afraid of long ways. And if you are very quiet before you fall asleep, you may hear two small voices under your window, telling {title} once more from the beginning.",
        "That night {hero} slept deeply and dreamed of the next journey. The three words lay safe under the pillow. They may come to you, too, one day. Keep them well.",
    ],
    endings_heard: &[
        "The next morning {hero} opened {title} once again, and the empty page was full. The whole journey was there, every step of it, and in the corner somebody very small had drawn a heart. It was {friend}.",
        "“And then?” asked a sleepy voice. But {hero} was already smiling with closed eyes. Some stories, like {title}, go on in a dream, and tomorrow there will be another page.",
        "When {hero} was home again, there was sand in both shoes and a song in the air. {Hero} wrote everything down, and on the first page, in the best letters of all, stood {title}.",
    ],
    children: &["Mina", "Leo", "Sora", "Noah", "Ella", "Juno", "Theo", "Hana"],
    friends: &[
        "hedgehog",
        "snail",
        "squirrel",
        "beetle",
        "sparrow",
        "frog",
        "mole",
        "butterfly",
    ],
    friend_manners: &[
        "round little",
        "shy little",
        "very polite",
        "sleepy little",
        "cheerful little",
    ],
    places: &[
        "the bridge of a hundred steps",
        "the valley where the echoes live",
        "the crossroads under the old oak",
        "the hill of whistling grass",
    ],
    known_places: &[
        ("sea", "the edge of the wide blue sea"),
        ("forest", "the heart of the whispering forest"),
        ("mountain", "the foot of the high blue mountain"),
        ("snow", "the field where the snow never melts"),
        ("garden", "the garden behind the mossy wall"),
        ("village", "the old village with the wooden porches"),
        ("night", "the hill where the night begins"),
        ("sky", "the hill that almost touches the sky"),
    ],
    quests: &["the secret of {thing}", "the song of {thing}", "the riddle of {thing}"],
    spare_words: &["hello", "please", "together"],
    nameless: "A Story Without a Name",
    sample: "(This is a sample story, written by Maru's built-in storyteller.)",
};
