//! Labels, the texts of each charset of mail, and labels that lie.

use super::*;

#[track_caller]
fn check(bytes: &[u8], label: &str, text: &str) {
    assert_eq!(decode(bytes, label, &mut Found::default()), text, "{label}");
}

#[test]
fn a_missing_or_vague_label_lets_the_bytes_decide() {
    for label in ["", "us-ascii", "unknown-8bit", "x-unknown", "no-such-charset"] {
        check("café".as_bytes(), label, "café");
        check(b"caf\xe9", label, "café");
        check(b"\x1b$B$\"\x1b(B", label, "あ");
    }
}

#[test]
fn labels_as_people_write_them_are_understood() {
    check(b"\xa4", "iso 8859-15", "€");
    check(b"\xa4", "ISO_8859-15", "€");
    check(b"\xa4", "\"iso8859-15\"", "€");
    check(b"\xb0\xa1", "ks_c_5601-1987", "가");
    check(b"\x82\xa0", "cp932", "あ");
    check(b"\x80", "windows1252", "€");
    check(b"\xcf\xd0", "win-1251", "ПР");
    check(b"\x82", "cp850", "é");
    check(b"\x82", "IBM437", "é");
    check("ü".as_bytes(), "utf8*en", "ü");
    for label in ["SJIS-win", "x-sjis-jp", "MS_932", "Windows-932", "shift_jis-2004"] {
        check(b"\x93\xfa", label, "日");
    }
    for label in ["eucJP-ms", "CP51932", "x-euc-jp"] {
        check(b"\xc6\xfc", label, "日");
    }
    for label in ["GB18030-2005", "cn-gb", "GBK", "gb_2312-80", "cp936"] {
        check(b"\xd6\xd0", label, "中");
    }
    check(b"\xa4\xa4", "big5-eten", "中");
    check(b"\xb0\xa1", "ms_949", "가");
    check(b"\xe4\xb7\xc2", "tis-620-2533", "ไทย");
    check(b"\x8f", "dos-866", "П");
    check(b"\0h\0i", "iso-10646-ucs-2", "hi");
}

#[test]
fn seven_bit_charsets_are_shifted() {
    check(b"Hi Mom +Jjo-!", "UTF-7", "Hi Mom ☺!");
    check(b"\x1b$B$\"\x1b(B", "iso-2022-jp", "あ");
    check(b"\x1b$)C\x0e0!\x0f ok", "ISO-2022-KR", "가 ok");
    check(b"~{<:Ky2;~} ok", "hz-gb-2312", "己所不 ok");
    check(b"a ~~ b ~~{x} ~{<:~} ~", "hz-gb-2312", "a ~ b ~{x} 己 ~");
}

/// A charset of mail: labels it goes by, one text in it, and what that says.
const TRAPS: &[(&[&str], &[u8], &str)] = &[
    (&["utf-7", "UTF7", "unicode-1-1-utf-7"], b"caf+AOk- +- +2D3cpA-", "café + 💤"),
    (
        &["iso-2022-jp", "ISO-2022-JP-MS", "iso-2022-jp-2"],
        b"\x1b$BF|K\\8l\x1b(B ok \x1b(J\\\x1b(B",
        "日本語 ok ¥",
    ),
    (&["iso-2022-kr"], b"\x1b$)C\x0eGQ19>n\x0f ok", "한국어 ok"),
    (&["shift_jis", "cp932", "windows-31j", "x-sjis", "ms_kanji"], b"\x93\xfa\x96{\x8c\xea\xb1", "日本語ｱ"),
    (&["euc-jp", "x-euc-jp"], b"\xc6\xfc\xcb\xdc\xb8\xec", "日本語"),
    (
        &["gb18030", "GB2312", "gb_2312-80", "gbk", "cp936", "x-gbk"],
        b"\xd6\xd0\xce\xc4\x81\x39\xee\x39",
        "中文㐀",
    ),
    (&["hz-gb-2312"], b"~{VPND~} ok", "中文 ok"),
    (&["iso-2022-cn"], b"\x1b$)A\x0eVPND\x0f ok", "中文 ok"),
    (&["big5", "cp950", "x-x-big5"], b"\xa4\xa4\xa4\xe5", "中文"),
    (
        &["ks_c_5601-1987", "KS_C_5601", "euc-kr", "cp949", "ksc5601", "korean", "UHC"],
        b"\xc7\xd1\xb1\xb9 \x8c\x63",
        "한국 똠",
    ),
    (&["windows-1250", "cp1250", "win-1250"], b"\x8eivot", "Život"),
    (&["windows-1251", "cp1251", "x-cp1251"], b"\xcf\xf0\xe8\xe2\xe5\xf2", "Привет"),
    (&["windows-1252", "cp1252", "iso-8859-1", "latin1", "iso8859_1"], b"\x80 caf\xe9", "€ café"),
    (&["windows-1253"], b"\xc3\xe5\xe9\xe1", "Γεια"),
    (&["windows-1254", "iso-8859-9"], b"\xddstanbul", "İstanbul"),
    (&["windows-1255"], b"\xf9\xec\xe5\xed", "שלום"),
    (&["windows-1256"], b"\xe3\xd1\xcd\xc8\xc7", "مرحبا"),
    (&["windows-1257", "iso-8859-13"], b"\xd0e\xf0i", "Šeši"),
    (&["windows-1258"], b"Vi\xeat", "Viêt"),
    (&["windows-874", "tis-620", "iso-8859-11"], b"\xe4\xb7\xc2", "ไทย"),
    (&["koi8-r", "koi8"], b"\xf0\xd2\xc9", "При"),
    (&["koi8-u"], b"\xa7\xb6", "їІ"),
    (&["iso-8859-2", "latin2"], b"\xb1\xe6\xea", "ąćę"),
    (&["iso-8859-5"], b"\xbf\xe0\xd8", "При"),
    (&["iso-8859-7"], b"\xe1\xe2\xe3", "αβγ"),
    (&["iso-8859-8-i", "iso-8859-8", "logical"], b"\xf9\xec", "של"),
    (&["iso-8859-15", "latin9", "latin-9"], b"\xa4", "€"),
    (&["utf-16", "utf-16le"], b"h\0i\0", "hi"),
    (&["utf-16"], b"\0h\0i", "hi"),
    (&["utf-16"], b"\xfe\xff\0h\0i", "hi"),
    (&["cp852", "ibm852", "IBM-852", "852"], b"\xa6\x98", "Žś"),
    (&["cp858", "ibm00858"], b"\xd5", "€"),
    (&["cp862", "dos-862"], b"\x80", "א"),
    (&["utf-16be"], b"\0h\0i", "hi"),
];

#[test]
fn seven_bit_charsets_are_known_under_any_label() {
    for label in ["utf-8", "iso-8859-1", "windows-1252", "gb2312", "us-ascii", ""] {
        check(b"\x1b$BF|K\\\x1b(B", label, "\u{65e5}\u{672c}");
        check(b"\x1b[1mbold\x1b[0m", label, "\x1b[1mbold\x1b[0m");
    }
    // Whatever a text becomes, it is not longer than it may.
    for (bytes, label) in [
        (&b"\x1b$BF|K\\\x1b(B"[..], "utf-8"),
        (b"\x80\x80", "windows-1252"),
        (b"\xff", "utf-8"),
        (b"\xe9t\xe9", ""),
        (b"+ + ", "utf-7"),
        (b"\x1b\x1b", "iso-2022-jp"),
        ("\u{20ac}".as_bytes(), "x-nobody"),
        ("\u{20ac}".as_bytes(), "cp437"),
        (b"ascii", "cp437"),
        (b"CAF\xc9\x92s", "utf-8"),
    ] {
        let text = decode(bytes, label, &mut Found::default());
        assert!(text.len() <= at_most(bytes, label), "{label}: {text}");
    }
}

#[test]
fn every_charset_of_mail_is_read_under_each_of_its_labels() {
    let mut wrong = Vec::new();
    for (labels, bytes, text) in TRAPS {
        for label in
            labels.iter().flat_map(|label| [(*label).to_owned(), format!(" \"{}\" ", label.to_uppercase())])
        {
            let read = decode(bytes, &label, &mut Found::default());
            if read != *text {
                wrong.push(format!("{label}: {read:?}, not {text:?}"));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn no_bytes_under_any_label_stop_the_reader() {
    let all: Vec<u8> = (0..=255).chain((0..=255).rev()).collect();
    for (labels, ..) in TRAPS {
        for cut in 0..all.len() {
            let text = decode(&all[cut..], labels[0], &mut Found::default());
            assert!(text.len() <= all.len() * 4, "{labels:?}");
        }
    }
}

#[test]
fn bytes_that_are_no_text_under_a_label_are_noise() {
    assert!(is_noise(b"\x9ep\xee\xb1#]\xdd\xb0\xe8", "utf-8"));
    assert!(!is_noise(b"caf\xe9", "utf-8"), "Western text with a wrong label");
    assert!(!is_noise("日本語".as_bytes(), "utf-8"));
    assert!(!is_noise(&"日本語".as_bytes()[1..], "utf-8"), "cut within a character");
    assert!(!is_noise(b"\xcf\xf0\xe8", "windows-1251"));
}

#[test]
fn a_lying_label_is_corrected_where_the_bytes_leave_no_doubt() {
    check("naïve".as_bytes(), "iso-8859-1", "naïve");
    check(b"na\xefve", "utf-8", "naïve");
    check(b"\xef\xbb\xbfh\xc3\xa9", "iso-8859-1", "hé");
    check("hé".as_bytes(), "utf-16", "hé");
    check(b"\xff\xfeh\0i\0", "us-ascii", "hi");
}

#[test]
fn utf_8_is_known_under_the_label_of_any_charset() {
    for (label, text) in [
        ("windows-1251", "Привет, мир"),
        ("koi8-r", "Привет, мир"),
        ("iso-8859-2", "Žluťoučký kůň"),
        ("gb2312", "中文邮件内容"),
        ("big5", "中文郵件內容"),
        ("euc-kr", "한국어 메일"),
        ("shift_jis", "日本語です"),
        ("iso-2022-jp", "日本語です"),
        ("cp850", "Žluťoučký kůň"),
        ("ibm437", "Привет, мир"),
    ] {
        let mut found = Found::default();
        assert_eq!(decode(text.as_bytes(), label, &mut found), text);
        assert_eq!(found.into_vec(), [Defect::BadCharset(label.to_owned())]);
    }
    // Two characters each, which are two of UTF-8 as well.
    check(b"\xc4\xaa\xcc\xa8", "gb2312", "莫台");
    check(b"\xc7\xb0\xc4\xb3", "euc-kr", "품캐");
}

#[test]
fn signs_of_windows_under_the_label_of_its_relative_are_signs() {
    check(b"\x84\x8aivot\x93", "iso-8859-2", "„Šivot“");
    check(b"\x93\x80\x94", "iso-8859-15", "“€”");
    check(b"\xb1\xe6\xea\x85", "iso-8859-2", "ąćę\u{85}");
}

#[test]
fn pieces_of_seven_bit_japanese_are_put_together() {
    check(b"\x1b(B\x1b$BF|\x1b(B\x1b$BK\\\x1b(B\x1b(Bok", "iso-2022-jp", "日本ok");
    check(b"\x1b$@F|K\\\x1b(J", "", "日本");
    check(b"\x93\xfa\x96{", "iso-2022-jp", "日本");
    check(b"\xc6\xfc\xcb\xdc", "iso-2022-jp", "日本");
    check(b"\x1b$)C\x0e0!\x0f", "us-ascii", "가");
}

/// Text of each language, in a charset that nothing names.
const UNNAMED: &[(&str, &str)] = &[
    ("windows-1251", "Добрый день! Высылаем вам счёт за услуги."),
    ("koi8-r", "Добрый день! Высылаем вам счет за услуги."),
    ("windows-1253", "Καλημέρα σας, σας στέλνουμε το τιμολόγιο."),
    ("windows-1255", "שלום רב, מצורפת החשבונית"),
    ("windows-1256", "السلام عليكم ورحمة الله وبركاته"),
    ("windows-874", "สวัสดีครับ ขอส่งใบแจ้งหนี้"),
    ("gbk", "您好，附件是发票，请查收。"),
    ("big5", "您好，附件是發票，請查收。"),
    ("euc-kr", "안녕하세요. 청구서를 보내드립니다."),
    ("shift_jis", "お世話になっております。請求書を送ります。"),
    ("euc-jp", "お世話になっております。請求書を送ります。"),
    (
        "windows-1250",
        "Dobrý den, v příloze Vám zasíláme fakturu za služby a těšíme se na další spolupráci. Děkujeme. Žluťoučký kůň.",
    ),
    ("windows-1252", "Größe und Maße: für Ärger über Öl. Señor, ça va? Él está aquí."),
    ("windows-1252", "Café à la crème, déjà prêt"),
    ("windows-1252", "año niño mañana españa señor"),
    ("windows-1252", "Hej då, vi ses på måndag. Hälsningar"),
];

#[test]
fn text_that_nothing_names_the_charset_of_is_told_by_its_letters() {
    for (charset, text) in UNNAMED {
        let (bytes, _, unmapped) = encoding_rs::Encoding::for_label(charset.as_bytes()).unwrap().encode(text);
        assert!(!unmapped);
        for label in ["", "unknown-8bit", "utf-8"] {
            assert_eq!(decode(&bytes, label, &mut Found::default()), *text, "{charset} under {label:?}");
        }
    }
    check(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0>\0", "", "ÐÏ\x11à¡±\x1aá\0>\0");
    for few in ["naïve café", "5 € für Müller", "¡Olé!", "£5 – it’s “free”…", "Ñandú", "œuvre", "Þór"]
    {
        let (bytes, ..) = encoding_rs::WINDOWS_1252.encode(few);
        check(&bytes, "", few);
    }
}

/// Western text whose only signs beyond ASCII could be characters of UTF-8 that nobody writes.
#[test]
fn a_letter_and_a_sign_behind_it_are_no_utf_8() {
    for text in ["Viel Spaß… Ann", "the CAFÉ’s menu", "Gruß–Ann", "Viel Spaß”", "ÉCLAIR, CAFÉ»"]
    {
        let (bytes, ..) = encoding_rs::WINDOWS_1252.encode(text);
        for label in ["windows-1252", "iso-8859-1", "", "us-ascii"] {
            assert_eq!(decode(&bytes, label, &mut Found::default()), text, "{label}");
        }
        assert_eq!(guess_with(&bytes, "windows-1250"), text);
        assert_eq!(detected(&bytes), None);
    }
    for text in
        ["Spaß", "œuvre", "Århus", "și", "ÐÐ", "В", "…", "“", "ΕΔ", "дх", "ДЕ", "Í", "Ț", "ə", "ơ", "ΔT", "λ"]
    {
        for label in ["windows-1252", ""] {
            assert_eq!(decode(text.as_bytes(), label, &mut Found::default()), text, "{label}");
        }
    }
}

#[test]
fn accents_are_no_characters_of_two_bytes_that_another_part_declares() {
    for hint in ["gb2312", "shift_jis", "big5", "euc-kr", "euc-jp"] {
        for text in ["Grüße aus Köln, für Größe", "naïve café", "Él está aquí"] {
            let (bytes, ..) = encoding_rs::WINDOWS_1252.encode(text);
            assert_eq!(decode_with(&bytes, "", hint, &mut Found::default()), text, "{hint}");
        }
    }
    for (hint, text) in
        [("gb2312", "中文邮件, 你好"), ("euc-kr", "한국어 메일"), ("big5", "許功蓋"), ("shift_jis", "表.pdf")]
    {
        let (bytes, ..) = encoding_rs::Encoding::for_label(hint.as_bytes()).unwrap().encode(text);
        assert_eq!(decode_with(&bytes, "", hint, &mut Found::default()), text, "{hint}");
    }
}

#[test]
fn the_mark_of_utf_16_counts_more_than_what_another_part_declares() {
    for hint in ["", "windows-1251", "iso-8859-1", "gb2312"] {
        assert_eq!(decode_with(b"\xff\xfeh\0\xe9\0", "", hint, &mut Found::default()), "hé", "{hint}");
        assert_eq!(decode_with("né".as_bytes(), "", hint, &mut Found::default()), "né", "{hint}");
    }
}

/// Sentences in windows-1252 as people send them without a label.
const WESTERN: &[&str] = &[
    "Sehr geehrte Frau Müller, anbei die gewünschte Übersicht über unsere Öffnungszeiten. Mit freundlichen Grüßen, Jörg Schröder, Geschäftsführer für Süddeutschland, Straße der Köche 5, 80331 München.",
    "Für die Überweisung benötigen wir noch Ihre Größe und Höhe; spätestens nächsten Donnerstag läuft die Prüfung.",
    "Bonjour, vous trouverez ci-joint la facture du mois de février. Nous vous remercions de votre fidélité et vous prions d’agréer, Madame, l’expression de nos sentiments distingués. À bientôt, Hélène Lefèvre, déléguée régionale, très occupée.",
    "Où êtes-vous ? J’ai reçu le colis à Noël, mais il était abîmé : ça n’a pas été vérifié avant l’expédition, hélas.",
    "Estimado señor Muñoz: le envío la información que pidió. ¿Podría usted confirmar la recepción? ¡Muchísimas gracias! Atentamente, José Núñez, dirección técnica, compañía española de café y jamón.",
    "Olá João, não há problema. A reunião será amanhã às três horas; por favor traga a documentação. Obrigação, situação, coração, atenção, licitação. Até amanhã, Conceição.",
    "Buongiorno, perché la città è così lontana? Più tardi arriverà anche l’università; sarà già martedì. Così è, però non c’è più libertà.",
    "Hej! Vi träffas på lördag klockan två hos mormor. Hälsningar från Åke och Märta Öberg. Jag är så glad att ni får semester även i år, på ön.",
    "Hei, hyvää päivää! Lähetän sinulle tämän viestin, että tiedät: näemme tänään työpäivän jälkeen Jyväskylässä.",
    "Kære Søren, vi mødes på fredag i København. Så får vi se på årets regnskab og nøgletal. Venlig hilsen Åse Bødker.",
    "Hallo, de coördinatie van de reünie is geslaagd; één van de patiënten heeft ideeën over het café.",
    "Sæll Þórður, ég get ekki komið á fundinn á þriðjudaginn því að við förum til Ísafjarðar með börnin.",
    "“Hi” “there” “you” “all” “of” “them” “again” “and” “once” “more”",
    "– one – two – three – four – five – six – seven – eight – nine – ten – eleven – twelve – thirteen – fourteen – fifteen – sixteen – seventeen",
    "• one\n• two\n• three\n• four\n• five\n• six\n• seven\n• eight",
    "It’s what we’d said: they’re “fine” … don’t you think? I’m sure it isn’t. We’ve £5 left, she’s £6, he’s £7; that’s £18.",
    "5 €, 6 €, 7 €, 8 €, 9 €, 10 €, 11 €, 12 €",
    "€ 5\n€ 6\n€ 7\n€ 8\n€ 9\n€ 10\n",
    "©®™ Acme™ Widget® Gadget™ Thing® ©2020",
    "20°C, 21°C, 22°C, 23°C, 24°C, 25°C, 26°C ±1°C ½ ¼ ¾ 5×6 §3 §4",
    "ÄÖÜ äöü ß",
    "ÀÉÈÙ ÇÊÎÔÛ",
    "ÑÑÑÑÑÑ",
    "————————————————————\nAnn\n————————————————————",
    "°°°°°°°°°°°°°°°°°°°°\n•••••••• ¯¯¯¯¯¯¯¯¯¯¯¯",
    "MÜLLER, SCHRÖDER, KÖNIG, JÄGER, BÖHM, GÖTZ, WEIß",
    "résumé",
    "a single é in an otherwise plain text of some length that says nothing more",
    "€",
    "¡¿",
    "GESCHÄFTSFÜHRER FÜR ÄRZTE: GRÜßE, ÜBERSICHT, ÖFFNUNG, MÄRZ, PRÜFUNG",
    "DÉCLARATION DE DÉPÔT DÉJÀ REÇUE À L’ÉTÉ, ÉTIENNE FRANÇOIS",
];

#[test]
fn western_text_without_a_label_stays_western() {
    let mut wrong = Vec::new();
    for text in WESTERN {
        let (bytes, _, unmapped) = encoding_rs::WINDOWS_1252.encode(text);
        assert!(!unmapped);
        // Capitals alone, many times over, are no text.
        let most = if text.bytes().any(|byte| byte.is_ascii_lowercase()) { 20 } else { 1 };
        for times in [1, 2, 5, 20].into_iter().filter(|times| *times <= most) {
            let (bytes, text) = (bytes.repeat(times), text.repeat(times));
            for label in ["", "us-ascii", "utf-8"] {
                let read = decode(&bytes, label, &mut Found::default());
                if read != text {
                    wrong.push(format!(
                        "{times} x under {label:?}: {}",
                        read.chars().take(60).collect::<String>()
                    ));
                }
            }
        }
        // And each beginning of it.
        for end in (1..bytes.len()).step_by(3) {
            let want = encoding_rs::WINDOWS_1252.decode_without_bom_handling(&bytes[..end]).0;
            let read = decode(&bytes[..end], "", &mut Found::default());
            if read != want {
                wrong.push(format!("cut at {end}: {}", read.chars().take(60).collect::<String>()));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn what_the_letters_tell_never_beats_a_label() {
    for (charset, text) in UNNAMED {
        let encoding = encoding_rs::Encoding::for_label(charset.as_bytes()).unwrap();
        let (bytes, ..) = encoding.encode(text);
        for hint in ["", "koi8-r", "shift_jis", "windows-1252"] {
            assert_eq!(decode_with(&bytes, charset, hint, &mut Found::default()), *text, "{charset}, {hint}");
            assert_eq!(decode_with(text.as_bytes(), "", hint, &mut Found::default()), *text);
        }
        // A right label of Western text, whatever it looks like.
        let (western, _) = encoding_rs::WINDOWS_1252.decode_without_bom_handling(&bytes);
        if std::str::from_utf8(&bytes).is_err() {
            assert_eq!(decode(&bytes, "windows-1252", &mut Found::default()), western);
        }
    }
}

#[test]
fn line_ends_of_every_kind_are_lf() {
    for (text, wanted) in [
        ("", ""),
        ("a\nb", "a\nb"),
        ("\r", "\n"),
        ("a\r\nb\rc\r\rd\r\r\ne\r\r\r\nf\n\r", "a\nb\nc\n\nd\ne\n\nf\n\n"),
        ("é\r\né\r", "é\né\n"),
    ] {
        assert_eq!(lf(text.to_owned()), wanted, "{text:?}");
    }
}

proptest::proptest! {
    #[test]
    fn a_text_has_no_cr_and_loses_no_character(text in "[\\r\\né]{0,40}") {
        let read = lf(text.clone());
        let twice = text.replace("\r\n", "\n").replace("\r\n", "\n").replace('\r', "\n");
        proptest::prop_assert_eq!(read, twice);
    }
}
