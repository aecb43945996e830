//! The words this house knows by heart, and how they are found in a title or a synopsis.
//! A known word can become the hero of a story, the thing that is looked for, the place, or the figure on the
//! cover. Korean words are recognised with their particles on, English words also in the plural.

/// What a known word can be in a story.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Somebody who can walk, swim or fly through a story.
    Hero,
    /// Something that can be looked for.
    Thing,
    /// Somewhere to go.
    Place,
}

/// One known word in both languages; the first spelling of each language is the one that is written.
#[derive(Debug)]
pub struct Word {
    /// What it can be.
    pub kind: Kind,
    /// English spellings; the first also names the word in the code.
    pub en: &'static [&'static str],
    /// Korean spellings.
    pub ko: &'static [&'static str],
}

const fn word(kind: Kind, en: &'static [&'static str], ko: &'static [&'static str]) -> Word {
    Word { kind, en, ko }
}

/// All known words.
static WORDS: &[Word] = &[
    word(Kind::Hero, &["fox"], &["여우"]),
    word(Kind::Hero, &["cat", "kitten", "kitty"], &["고양이", "야옹이"]),
    word(Kind::Hero, &["dog", "puppy", "puppie"], &["강아지", "멍멍이", "바둑이"]),
    word(Kind::Hero, &["rabbit", "bunny", "bunnie", "hare"], &["토끼"]),
    word(Kind::Hero, &["bear", "panda"], &["곰", "아기곰", "곰돌이", "북극곰"]),
    word(Kind::Hero, &["tiger"], &["호랑이"]),
    word(Kind::Hero, &["whale", "dolphin"], &["고래", "돌고래"]),
    word(Kind::Hero, &["dragon", "dinosaur"], &["용", "아기용", "드래곤", "공룡"]),
    word(
        Kind::Hero,
        &["bird", "owl", "sparrow", "duck"],
        &["작은 새", "새", "파랑새", "참새", "부엉이", "아기새", "오리"],
    ),
    word(Kind::Hero, &["girl", "princess"], &["소녀", "공주", "여자아이"]),
    word(
        Kind::Hero,
        &["boy", "child", "prince", "children"],
        &["소년", "아이", "왕자", "남자아이"],
    ),
    word(
        Kind::Thing,
        &["moon", "moonlight"],
        &["달", "달님", "달빛", "보름달", "반달", "초승달"],
    ),
    word(
        Kind::Thing,
        &["star", "starlight"],
        &["별", "별님", "별빛", "별똥별", "별자리", "은하수"],
    ),
    word(
        Kind::Thing,
        &["sun", "sunshine", "sunlight"],
        &["해님", "햇살", "햇빛", "태양"],
    ),
    word(Kind::Thing, &["rainbow"], &["무지개"]),
    word(Kind::Thing, &["balloon"], &["풍선", "열기구"]),
    word(
        Kind::Thing,
        &["boat", "ship", "sailboat"],
        &["배", "돛단배", "종이배", "나룻배", "돛배"],
    ),
    word(Kind::Thing, &["kite"], &["연", "방패연", "가오리연"]),
    word(
        Kind::Thing,
        &["flower", "rose", "tulip", "sunflower"],
        &["꽃", "꽃잎", "꽃씨", "해바라기", "꽃송이", "들꽃"],
    ),
    word(Kind::Thing, &["tree", "oak"], &["나무"]),
    word(
        Kind::Thing,
        &["lantern", "lamp", "firefly", "fireflie"],
        &["등불", "초롱", "반딧불이", "반딧불"],
    ),
    word(Kind::Thing, &["house", "home", "cottage"], &["집", "오두막", "우리집"]),
    word(Kind::Thing, &["book", "story", "storie"], &["그림책", "동화책", "책"]),
    word(
        Kind::Place,
        &["sea", "ocean", "beach", "wave", "island", "seaside"],
        &["바다", "바닷가", "바닷속", "파도", "섬", "해변"],
    ),
    word(Kind::Place, &["forest", "wood", "jungle"], &["숲", "숲속", "수풀"]),
    word(Kind::Place, &["mountain", "hill"], &["산", "산골", "언덕", "산꼭대기"]),
    word(
        Kind::Place,
        &["snow", "winter", "snowman", "ice", "snowflake"],
        &["눈", "겨울", "눈사람", "첫눈", "함박눈", "눈송이", "얼음"],
    ),
    word(
        Kind::Place,
        &["garden", "meadow", "spring"],
        &["정원", "꽃밭", "텃밭", "들판", "화원", "봄"],
    ),
    word(
        Kind::Place,
        &["village", "porch", "town"],
        &["마을", "마루", "툇마루", "시골", "동네"],
    ),
    word(
        Kind::Place,
        &["night", "dark", "dream"],
        &["밤", "밤하늘", "어둠", "꿈"],
    ),
    word(Kind::Place, &["sky", "cloud", "skie"], &["하늘", "구름"]),
];

/// Korean particles, longest first, so that 숲에서 gives up 에서 and not only 서.
const PARTICLES: &[&str] = &[
    "에서는",
    "에게는",
    "으로는",
    "이라는",
    "에서",
    "에게",
    "한테",
    "까지",
    "부터",
    "처럼",
    "으로",
    "이랑",
    "하고",
    "에는",
    "라는",
    "네",
    "은",
    "는",
    "이",
    "가",
    "을",
    "를",
    "와",
    "과",
    "의",
    "에",
    "도",
    "로",
    "만",
    "랑",
    "야",
];

/// Words that only look like a known one: 새로 is far more often "newly" than "towards the bird".
const LOOKALIKES: &[&str] = &["새", "새로", "별로", "눈을", "눈에"];

/// True when any Hangul is in the text.
pub fn has_hangul(text: &str) -> bool {
    text.chars()
        .any(|c| matches!(c, '가'..='힣' | 'ㄱ'..='ㆎ' | '\u{1100}'..='\u{11FF}'))
}

/// The known words of a text in the order they appear, each one once.
pub fn known(text: &str) -> Vec<&'static Word> {
    let mut found: Vec<&'static Word> = Vec::new();
    for token in tokens(text) {
        for word in WORDS.iter().filter(|word| speaks_of(&token, word)) {
            if !found.iter().any(|old| std::ptr::eq(*old, word)) {
                found.push(word);
            }
        }
    }
    found
}

fn speaks_of(token: &str, word: &Word) -> bool {
    let english = word
        .en
        .iter()
        .any(|en| token == *en || token.strip_suffix('s') == Some(en) || token.strip_suffix("es") == Some(en));
    let korean = word.ko.iter().any(|ko| {
        // A word of two syllables or more is also known at the end of a longer one: 길고양이, 소나무.
        let long = ko.chars().count() > 1;
        stems(token).any(|stem| stem == *ko || (long && stem.ends_with(ko)))
    });
    english || korean
}

/// The token itself and the token without each particle it may be carrying.
fn stems(token: &str) -> impl Iterator<Item = &str> {
    std::iter::once(token)
        .chain(PARTICLES.iter().filter_map(|particle| token.strip_suffix(particle)))
        .filter(move |_| !LOOKALIKES.contains(&token))
}

/// The words of a text in small letters; an English 's is left out.
fn tokens(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric() && c != '\'' && c != '’')
        .map(|token| token.to_lowercase().replace('’', "'"))
        .map(|token| match token.strip_suffix("'s") {
            Some(stem) => stem.to_owned(),
            None => token.trim_matches('\'').to_owned(),
        })
        .filter(|token| !token.is_empty())
        .collect()
}

/// English words that carry no picture of their own.
const SMALL_WORDS: &str = " about above across after again alone also always another around back because been before behind below beside began begins \
 being between both came come comes could does doing done down each ever every everyone finally find finds first found from \
 gets give gives goes going gone have having here hers himself herself into itself just keep know knows last learn lets learns like little \
 long look looks lost made make makes many more most much must named near never next nobody once only other others over \
 really said says see sees self shall should some someone something soon such take takes tell than that their them then \
 there these they three thing things this those through time together took under until upon used very wakes want wants well went were what when where \
 which while will with without would your yours story ";

/// Korean stems that carry no picture of their own.
const SMALL_STEMS: &[&str] = &[
    "때문",
    "동안",
    "다음",
    "자신",
    "우리",
    "그것",
    "이것",
    "모두",
    "사이",
    "어느날",
    "하루",
    "이야기",
];

/// Up to `most` words worth remembering, those of the title first.
pub fn worth_keeping(title: &str, synopsis: &str, most: usize) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    let korean = has_hangul(title) || has_hangul(synopsis);
    let mut keep = |candidate: String| {
        if kept.len() < most && candidate.chars().count() <= 16 && !kept.contains(&candidate) {
            kept.push(candidate);
        }
    };
    for text in [title, synopsis] {
        let all = tokens(text);
        for (at, token) in all.iter().enumerate() {
            let last_of_title = std::ptr::eq(text, title) && at + 1 == all.len();
            if let Some(candidate) = if korean {
                korean_noun(token, last_of_title)
            } else {
                english_word(token)
            } {
                keep(candidate);
            }
        }
    }
    kept
}

fn english_word(token: &str) -> Option<String> {
    let known = WORDS.iter().any(|word| speaks_of(token, word));
    let plain = token.chars().all(char::is_alphabetic);
    let large = token.chars().count() > 3 && !SMALL_WORDS.contains(&format!(" {token} "));
    (plain && (known || large)).then(|| token.to_owned())
}

/// Without a dictionary only three signs of a noun are trusted: a word we know, a particle that verbs do not
/// carry, and the bare last word of a title.
fn korean_noun(token: &str, last_of_title: bool) -> Option<String> {
    if !has_hangul(token) {
        return english_word(token);
    }
    for word in WORDS {
        if let Some(ko) = word.ko.iter().find(|ko| stems(token).any(|stem| stem == **ko)) {
            return Some((*ko).to_owned());
        }
    }
    let stem = ["에서", "에게", "을", "를", "의", "에"]
        .iter()
        .find_map(|particle| token.strip_suffix(particle))
        .or_else(|| (last_of_title && !token.ends_with(VERB_LIKE)).then_some(token))?;
    let last = stem.chars().next_back()?;
    // ㅆ as the final consonant is a past tense (했을), final number 20 of 28.
    let past = matches!(last, '가'..='힣') && (u32::from(last) - 0xAC00) % 28 == 20;
    (stem.chars().count() > 1 && !past && !SMALL_STEMS.contains(&stem)).then(|| stem.to_owned())
}

/// Last syllables that a bare noun rarely has.
const VERB_LIKE: &[char] = &[
    '다', '요', '까', '자', '는', '은', '을', '를', '이', '가', '지', '야', '아', '어', '라', '네', '와', '과', '도',
    '로', '기', '한', '면', '서', '고', '게', '해',
];

#[cfg(test)]
mod tests {
    use super::{has_hangul, known, worth_keeping};

    fn names(text: &str) -> Vec<&'static str> {
        known(text).iter().map(|word| word.en[0]).collect()
    }

    #[test]
    fn korean_words_are_known_with_their_particles() {
        assert_eq!(names("달을 찾은 여우가 숲에서"), ["moon", "fox", "forest"]);
        assert_eq!(names("길고양이와 바닷가"), ["cat", "sea"]);
    }

    #[test]
    fn english_words_are_known_in_the_plural_and_with_an_owner() {
        assert_eq!(
            names("The Foxes' boats, and the whale's star!"),
            ["fox", "boat", "whale", "star"]
        );
    }

    #[test]
    fn words_that_only_look_alike_are_left_alone() {
        assert!(names("새로 눈을 용감한 배고픈 달리기 caterpillar carbon").is_empty());
    }

    #[test]
    fn the_words_of_the_title_are_kept_first() {
        assert_eq!(
            worth_keeping("The Brave Lantern", "A girl walks through fog.", 3),
            ["brave", "lantern", "girl"]
        );
        assert_eq!(
            worth_keeping("비밀의 계단", "민지는 우산을 들고 갔을 때", 3),
            ["비밀", "계단", "우산"]
        );
    }

    #[test]
    fn hangul_is_noticed_anywhere() {
        assert!(has_hangul("Hello 달"));
        assert!(!has_hangul("Hello 月 🌙"));
    }
}
