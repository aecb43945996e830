//! The storyteller. A story is a row of seeded choices: an opening, the synopsis as it was given, a journey with a
//! friend, a trouble and how it was solved, and an ending.
//! A hero, a thing and a place that are named in the title or the synopsis take their parts in the story; without
//! a hero, a child hears the story and steps into it.
//! The words of the user are filled in once and never read as a template.

use super::dice::Dice;
use super::particles::particle;
use super::words::{self, Kind, Word};
use super::{tales_en, tales_ko};

/// A trouble on the way and the ways out of it.
pub struct Trouble {
    /// What stands in the way.
    pub met: &'static str,
    /// How it may be solved.
    pub solved: &'static [&'static str],
}

/// Everything the storyteller can say in one language. "Told" is for a story about a creature that the title or
/// the synopsis names, "heard" for a child who hears the story.
pub struct Tales {
    pub openings_told: &'static [&'static str],
    pub openings_heard: &'static [&'static str],
    pub synopses_told: &'static [&'static str],
    pub synopses_heard: &'static [&'static str],
    pub synopses_missing: &'static [&'static str],
    pub wishes_told: &'static [&'static str],
    pub wishes_heard: &'static [&'static str],
    pub settings_out: &'static [&'static str],
    pub troubles: &'static [Trouble],
    pub findings: &'static [&'static str],
    pub endings_told: &'static [&'static str],
    pub endings_heard: &'static [&'static str],
    pub children: &'static [&'static str],
    pub friends: &'static [&'static str],
    pub friend_manners: &'static [&'static str],
    pub places: &'static [&'static str],
    pub known_places: &'static [(&'static str, &'static str)],
    pub quests: &'static [&'static str],
    pub spare_words: &'static [&'static str],
    pub nameless: &'static str,
    pub sample: &'static str,
}

/// A children's story about the title and the synopsis, in the language they are written in: Korean if there is
/// any Hangul in them, else English.
pub fn story(title: &str, synopsis: &str) -> String {
    let korean = words::has_hangul(title) || words::has_hangul(synopsis);
    let tales = if korean { &tales_ko::TALES } else { &tales_en::TALES };
    let title = plain(title);
    let title = match title.trim_end_matches(['.', ',', ';', ':', ' ', '-']) {
        "" => tales.nameless,
        some => some,
    };
    let synopsis = plain(synopsis);
    let mut dice = Dice::of(&["story", title, &synopsis]);
    let cast = Cast::choose(tales, korean, title, &synopsis, &mut dice);
    let mut say = |told: &[&str], heard: &[&str]| {
        let template = dice.pick(if cast.told { told } else { heard });
        cast.fill(template)
    };

    let mut paragraphs = vec![say(tales.openings_told, tales.openings_heard)];
    let began = if synopsis.chars().any(|c| !c.is_ascii_punctuation()) {
        say(tales.synopses_told, tales.synopses_heard)
    } else {
        say(tales.synopses_missing, tales.synopses_missing)
    };
    let wish = say(tales.wishes_told, tales.wishes_heard);
    paragraphs.extend(in_two_when_long(&format!("{began} {wish}")));
    paragraphs.push(say(tales.settings_out, tales.settings_out));
    let finding = say(tales.findings, tales.findings);
    let ending = say(tales.endings_told, tales.endings_heard);
    let trouble = &tales.troubles[dice.below(tales.troubles.len())];
    paragraphs.push(cast.fill(trouble.met));
    paragraphs.push(cast.fill(dice.pick(trouble.solved)));
    paragraphs.push(finding);
    paragraphs.push(ending);
    paragraphs.push(tales.sample.to_owned());
    paragraphs.join("\n\n")
}

/// Who and what takes part in one story, ready to be written into the templates.
struct Cast {
    korean: bool,
    told: bool,
    parts: Vec<(&'static str, String)>,
}

impl Cast {
    fn choose(tales: &Tales, korean: bool, title: &str, synopsis: &str, dice: &mut Dice) -> Self {
        let known = words::known(&format!("{title}\n{synopsis}"));
        let of_kind = |kind: Kind| known.iter().filter(move |word| word.kind == kind);
        let name = |word: &Word| if korean { word.ko[0] } else { word.en[0] };

        let mut heroes = of_kind(Kind::Hero);
        let creature = heroes.next().map(|word| name(word));
        let (hero, a_hero) = match creature {
            Some(creature) => (the(creature, korean), a(creature, korean)),
            None => {
                let child = dice.pick(tales.children).to_owned();
                (child.clone(), child)
            }
        };
        let friend = match heroes.next() {
            Some(word) => name(word),
            None => dice.pick(tales.friends),
        };
        let a_friend = format!("{} {friend}", dice.pick(tales.friend_manners));

        let quoted_title = if korean {
            format!("〈{title}〉")
        } else {
            format!("“{title}”")
        };
        let thing = match of_kind(Kind::Thing).chain(of_kind(Kind::Place)).next() {
            Some(word) => the(name(word), korean),
            None => quoted_title.clone(),
        };
        let known_place = of_kind(Kind::Place).find_map(|word| {
            let mut places = tales.known_places.iter();
            places.find(|(key, _)| *key == word.en[0]).map(|(_, place)| *place)
        });
        let place = known_place.unwrap_or_else(|| dice.pick(tales.places));

        let mut keepsakes = words::worth_keeping(title, synopsis, 3);
        keepsakes.extend(tales.spare_words.iter().map(|word| (*word).to_owned()));
        keepsakes.truncate(3);
        let quoted: Vec<String> = keepsakes
            .iter()
            .map(|word| {
                if korean {
                    format!("‘{word}’")
                } else {
                    format!("“{word}”")
                }
            })
            .collect();
        let (words, words_plain) = if korean {
            (quoted.join(", "), keepsakes.join(", "))
        } else {
            (english_row(&quoted), capital(&english_row(&keepsakes)))
        };

        let parts = vec![
            ("hero", hero),
            ("a_hero", a_hero),
            ("friend", the(friend, korean)),
            ("a_friend", a(&a_friend, korean)),
            ("title", quoted_title),
            ("quest", dice.pick(tales.quests).replace("{thing}", &thing)),
            ("place", place.to_owned()),
            ("word", quoted[dice.below(quoted.len())].clone()),
            ("words", words),
            ("words_plain", words_plain),
            ("synopsis", finished(synopsis)),
        ];
        Self {
            korean,
            told: creature.is_some(),
            parts,
        }
    }

    /// Writes the parts into a template, in one pass: what has been filled in is not looked at again.
    fn fill(&self, template: &str) -> String {
        let mut text = String::new();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('{') {
            text.push_str(before);
            let (slot, after) = after.split_once('}').unwrap_or((after, ""));
            let (name, marker) = slot.split_once(':').unwrap_or((slot, ""));
            let small = name.to_lowercase();
            let filling = self.parts.iter().find(|(part, _)| *part == small);
            let filling = filling.map_or("", |(_, filling)| filling.as_str());
            if name.starts_with(char::is_uppercase) {
                text.push_str(&capital(filling));
            } else {
                text.push_str(filling);
            }
            if self.korean {
                text.push_str(&particle(filling, marker));
            }
            rest = after;
        }
        text.push_str(rest);
        // A title that ends with a mark of its own needs no second one behind the quotes.
        ["!", "?", "…"].iter().fold(text, |text, mark| {
            let closed = format!("{mark}”");
            text.replace(&format!("{closed}."), &closed)
                .replace(&format!("{closed}!"), &closed)
        })
    }
}

fn the(bare: &str, korean: bool) -> String {
    if korean { bare.to_owned() } else { format!("the {bare}") }
}

fn a(bare: &str, korean: bool) -> String {
    match bare.chars().next() {
        _ if korean => bare.to_owned(),
        Some('a' | 'e' | 'i' | 'o' | 'u') => format!("an {bare}"),
        _ => format!("a {bare}"),
    }
}

fn english_row(words: &[String]) -> String {
    match words.split_last() {
        Some((last, before)) if !before.is_empty() => format!("{} and {last}", before.join(", ")),
        _ => words.concat(),
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// The text on one line, without tags, control characters and invisible marks.
fn plain(text: &str) -> String {
    let mut line = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some(after) = after_tag(rest) {
            line.push(' ');
            rest = after;
            continue;
        }
        rest = &rest[first.len_utf8()..];
        match first {
            // An angle bracket that opens no tag is kept in a form that no page reads as markup.
            '<' => line.push('‹'),
            '>' => line.push('›'),
            // Marks that turn the writing direction or cannot be seen; the joiner inside emoji stays.
            '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}' => {}
            c if c.is_control() || c.is_whitespace() => line.push(' '),
            c => line.push(c),
        }
    }
    let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
    [" .", " ,", " !", " ?"]
        .iter()
        .fold(line, |line, gap| line.replace(gap, gap.trim()))
}

/// What follows the tag this text begins with, if it begins with one.
fn after_tag(text: &str) -> Option<&str> {
    let inside = text.strip_prefix('<')?;
    let letter = inside.trim_start_matches(['/', '!']).chars().next()?;
    let (tag, after) = inside.split_once('>')?;
    (letter.is_ascii_alphabetic() && tag.len() <= 200 && !tag.contains('<')).then_some(after)
}

/// The synopsis with an end to its last sentence.
fn finished(synopsis: &str) -> String {
    let text = synopsis.trim_end_matches([',', ';', ':', '-', ' ']);
    match text.chars().next_back() {
        Some(last) if last.is_alphanumeric() => format!("{text}."),
        _ => text.to_owned(),
    }
}

/// A paragraph that is too long for small readers is cut once, after the sentence nearest to its middle.
fn in_two_when_long(paragraph: &str) -> Vec<String> {
    if paragraph.chars().count() <= 600 {
        return vec![paragraph.to_owned()];
    }
    let middle = paragraph.len() / 2;
    let cut = paragraph
        .match_indices([' '])
        .map(|(at, _)| at)
        .filter(|&at| paragraph[..at].ends_with(['.', '!', '?', '…']))
        .min_by_key(|at| at.abs_diff(middle));
    match cut {
        Some(at) => vec![paragraph[..at].to_owned(), paragraph[at + 1..].to_owned()],
        None => vec![paragraph.to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use super::{finished, plain, story};
    use std::collections::HashSet;

    const FOX: (&str, &str) = (
        "The Fox Who Lost the Moon",
        "A little fox looks for the moon behind the clouds.",
    );
    const KO: (&str, &str) = ("달을 찾은 여우", "작은 여우가 숲에서 잃어버린 달을 찾아요.");

    #[test]
    fn the_synopsis_is_told_in_the_story() {
        for (title, synopsis) in [FOX, KO, ("Mina", "she said \"hello\" to {title}")] {
            let story = story(title, synopsis);
            assert!(story.contains(synopsis), "{story}");
            assert!(story.contains(title), "{story}");
        }
    }

    #[test]
    fn a_korean_title_gets_a_korean_story() {
        assert!(story("달", "").contains("견본 동화"));
        assert!(story("Moon", "여우 이야기").contains("견본 동화"));
        let english = story(FOX.0, FOX.1);
        assert!(english.contains("sample story"));
        assert!(!english.chars().any(|c| matches!(c, '가'..='힣')), "{english}");
    }

    #[test]
    fn the_same_wish_tells_the_same_story_and_another_tells_another() {
        assert_eq!(story(KO.0, KO.1), story(KO.0, KO.1));
        let stories: HashSet<String> = (0..40).map(|n| story(&format!("Title {n}"), "Same.")).collect();
        assert_eq!(stories.len(), 40);
        let first_lines: HashSet<&str> = stories.iter().filter_map(|s| s.split("Title").next()).collect();
        assert!(first_lines.len() >= 4, "{first_lines:?}");
    }

    #[test]
    fn a_story_has_five_to_eight_paragraphs_and_a_sample_line() {
        for n in 0..60 {
            for (title, synopsis) in [FOX, KO, ("Hat", ""), ("모자", "")] {
                let story = story(&format!("{title} {n}"), synopsis);
                let paragraphs: Vec<&str> = story.split("\n\n").collect();
                assert!((6..=9).contains(&paragraphs.len()), "{story}");
                assert!(
                    paragraphs
                        .last()
                        .is_some_and(|last| last.contains("sample") || last.contains("견본"))
                );
                let words = story.split_whitespace().count();
                assert!((130..=380).contains(&words), "{words}: {story}");
            }
        }
    }

    #[test]
    fn what_the_title_names_takes_part_in_the_story() {
        let story = story("The Whale and the Rabbit", "They want to see the snow.");
        for part in ["the whale", "the rabbit", "of the snow", "where the snow never melts"] {
            assert!(story.to_lowercase().contains(part), "{part}: {story}");
        }
    }

    #[test]
    fn every_slot_is_filled_and_no_mark_is_left_over() {
        for n in 0..120 {
            for (title, synopsis) in [FOX, KO, ("", ""), ("무지개 우산", "비가 왔다"), ("Hm", "")] {
                let story = story(title, &format!("{synopsis}{n}"));
                assert!(!story.contains(['{', '}', '<', '>']), "{story}");
                assert!(!story.contains("  ") && !story.contains("the the"), "{story}");
            }
        }
    }

    #[test]
    fn odd_input_is_told_safely() {
        let long = "The fox walked on and on through the rain. ".repeat(46);
        let story = story("Long", &long);
        assert!(story.replace("\n\n", " ").contains(long.trim()));
        assert!(story.split("\n\n").count() <= 9);
        for odd in [
            "",
            "   \n\t",
            "...",
            "🎈🎈",
            "<",
            "{",
            "}{:",
            "한",
            "\u{0}\u{202E}x",
            "<b",
            "'",
            "’s",
            "ㅋㅋ",
        ] {
            for (title, synopsis) in [(odd, odd), (odd, "A cat."), ("Cat", odd)] {
                assert!(super::story(title, synopsis).chars().count() > 300);
            }
        }
        let no_space = "가".repeat(2000);
        assert!(super::story("끝", &no_space).contains(&no_space));
    }

    #[test]
    fn markup_becomes_plain_text() {
        assert_eq!(
            plain("<p>A <b>fox</b>.</p>\n<script>x()</script> I <3 \u{202E}you"),
            "A fox. x() I ‹3 you"
        );
    }

    #[test]
    fn a_title_with_its_own_mark_gets_no_second_one() {
        for n in 0..20 {
            let story = story("Where is the moon?", &format!("It is {n} o'clock."));
            assert!(!story.contains("?”.") && !story.contains("?”!"), "{story}");
            assert!(story.contains("“Where is the moon?”"), "{story}");
        }
    }

    #[test]
    fn the_last_sentence_is_ended_once() {
        assert_eq!(finished("A fox"), "A fox.");
        assert_eq!(finished("A fox!"), "A fox!");
        assert_eq!(finished("A fox, "), "A fox.");
        assert_eq!(finished("A fox 🦊"), "A fox 🦊");
    }
}
