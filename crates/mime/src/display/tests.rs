//! HTML of strangers is shown as it looks, and does nothing.

use super::*;

#[track_caller]
fn shows(html: &str, shown: &str) {
    assert_eq!(clean(html).as_deref(), Some(shown), "{html}");
}

#[test]
fn what_mail_looks_like_stays() {
    shows(
        "<table cellpadding=\"2\" width=\"100%\"><tbody><tr><td align=\"left\" style=\"color:#111;padding:4px\">a<br><font color=\"red\">b</font></td></tr></tbody></table>",
        "<table cellpadding=\"2\" width=\"100%\"><tbody><tr><td align=\"left\" style=\"color:#111;padding:4px\">a<br><font color=\"red\">b</font></td></tr></tbody></table>",
    );
}

#[test]
fn images_of_the_mail_stay_and_those_from_elsewhere_do_not_load() {
    shows("<img src=\"cid:pic@x\" alt=\"p\">", "<img src=\"cid:pic@x\" alt=\"p\">");
    for source in ["https://x.example/seen.gif", "//x.example/a", "a.gif", "data:image/png;base64,AAAA"] {
        shows(&format!("<img src=\"{source}\" alt=\"p\">"), "<img alt=\"p\">");
    }
}

#[test]
fn links_open_elsewhere_and_tell_nobody_where_from() {
    for link in ["https://x.example/a?b=c", "mailto:a@b.org"] {
        let shown = format!("<a href=\"{link}\" target=\"_blank\" rel=\"noopener noreferrer\">x</a>");
        shows(&format!("<a href=\"{link}\" target=_top rel=opener onclick=x()>x</a>"), &shown);
    }
    let bare = "<a target=\"_blank\" rel=\"noopener noreferrer\">x</a>";
    for link in ["javascript:alert(1)", "vbscript:x", "data:text/html,x", "/a", "#a", "file:///etc"] {
        shows(&format!("<a href=\"{link}\">x</a>"), bare);
    }
    shows("<a href=\"cid:a\">x</a>", "<a rel=\"noopener noreferrer\" target=\"_blank\">x</a>");
}

/// One or more of each family of vectors that are known from the web.
const VECTORS: &[&str] = &[
    "<script>alert(1)</script>",
    "<SCRIPT SRC=https://x.example/a.js></SCRIPT>",
    "<scr<script>ipt>alert(1)</script>",
    "<script/src=data:,alert(1)>",
    "<<SCRIPT>alert(1);//<</SCRIPT>",
    "</title><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<img src=\"javascript:alert(1);\">",
    "<img src=JaVaScRiPt:alert(1)>",
    "<img src=`javascript:alert(1)`>",
    "<img \"\"\"><script>alert(1)</script>\">",
    "<img src=&#106;&#97;&#118;&#97;&#115;&#99;&#114;&#105;&#112;&#116;&#58;alert(1)>",
    "<a href=\"jav\tascript:alert(1)\">x</a>",
    "<a href=\"jav&#x0A;ascript:alert(1)\">x</a>",
    "<a href=\" &#14; javascript:alert(1)\">x</a>",
    "<a href=\"\u{1}javascript:alert(1)\">x</a>",
    "<body onload=alert(1)>",
    "<svg onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<svg><a xlink:href=\"javascript:alert(1)\"><text>x</text></a></svg>",
    "<svg><animate attributeName=href values=javascript:alert(1) /></svg>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)></style></mglyph></table></mtext></math>",
    "<math href=\"javascript:alert(1)\">x</math>",
    "<noscript><p title=\"</noscript><img src=x onerror=alert(1)>\"></noscript>",
    "<template><script>alert(1)</script></template>",
    "<iframe src=javascript:alert(1)></iframe>",
    "<iframe srcdoc=\"<script>alert(1)</script>\"></iframe>",
    "<object data=javascript:alert(1)></object>",
    "<embed src=javascript:alert(1)>",
    "<applet code=x></applet>",
    "<meta http-equiv=refresh content=\"0;url=javascript:alert(1)\">",
    "<link rel=stylesheet href=javascript:alert(1)>",
    "<base href=\"javascript:alert(1);//\">",
    "<style>@import 'javascript:alert(1)';</style>",
    "<style>body{background:url(javascript:alert(1))}</style>",
    "<div style=\"background-image:url(javascript:alert(1))\">x</div>",
    "<div style=\"width:expression(alert(1))\">x</div>",
    "<div style=\"color:\\65xpression(alert(1))\">x</div>",
    "<div style=\"position:fixed;top:0;left:0;width:100%;height:100%\">x</div>",
    "<div style=\"margin-top:-9999px\">x</div>",
    "<xss style=\"behavior:url(x.htc)\">",
    "<form action=javascript:alert(1)><input type=submit formaction=javascript:alert(1)><button>x</button></form>",
    "<isindex action=javascript:alert(1)>",
    "<input onfocus=alert(1) autofocus>",
    "<select onfocus=alert(1) autofocus><option>x</select>",
    "<textarea onfocus=alert(1)>x</textarea>",
    "<video poster=javascript:alert(1)><source onerror=alert(1)></video>",
    "<audio src=x onerror=alert(1)></audio>",
    "<details open ontoggle=alert(1)>x</details>",
    "<marquee onstart=alert(1)>x</marquee>",
    "<table background=\"javascript:alert(1)\"><tr><td background=\"javascript:alert(1)\">x</table>",
    "<bgsound src=\"javascript:alert(1)\">",
    "<layer src=\"javascript:alert(1)\"></layer>",
    "<frameset><frame src=javascript:alert(1)></frameset>",
    "<map name=x><area href=javascript:alert(1)></map><img usemap=#x>",
    "<!--[if gte IE 4]><script>alert(1)</script><![endif]-->",
    "<!--><img src=x onerror=alert(1)>-->",
    "<![CDATA[<script>alert(1)</script>]]>",
    "<?xml version=1><script>alert(1)</script>",
    "<a id=x name=getElementById class=modal>x</a>",
    "<blockquote cite=\"javascript:alert(1)\">x</blockquote>",
    "<p/onclick=alert(1)>x",
    "<img src=x:x onerror\u{b}=alert(1)>",
    "<a href=x onmouseover\n=\nalert(1)>x</a>",
    "<math><mtext><table><mglyph><style><!--</style><img title=\"--&gt;&lt;img src=1 onerror=alert(1)&gt;\">",
    "<svg></p><style><a id=\"</style><img src=1 onerror=alert(1)>\">",
    "<form><math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
    "<noscript><p title=\"</noscript><img src=x onerror=alert(1)>\">",
    "<svg><use href=\"data:image/svg+xml,<svg id='x' xmlns='http://www.w3.org/2000/svg'></svg>#x\"/></svg>",
    "<svg><image href=\"https://x.example/a.png\"/></svg>",
    "<math><maction actiontype=statusline xlink:href=\"javascript:alert(1)\">x</maction></math>",
    "<meta http-equiv=refresh content=\"0;url=https://x.example\">",
    "<base href=\"https://x.example/\"><a href=\"a\">x</a>",
    "<form action=\"https://x.example\"><input type=image src=\"https://x.example/a.png\"></form>",
    "<img srcset=\"https://x.example/a.png 2x\" alt=x>",
    "<picture><source srcset=\"https://x.example/a.png\"><img src=a></picture>",
    "<img dynsrc=\"https://x.example/a\" lowsrc=\"https://x.example/b\">",
    "<a href=\"https://x.example\" ping=\"https://y.example\">x</a>",
    "<a href=\"java\u{200b}script:alert(1)\">x</a>",
    "<a href=\"\u{feff}javascript:alert(1)\">x</a>",
    "<a href=\"javascript&colon;alert(1)\">x</a>",
    "<a href=\"java&Tab;script:alert(1)\">x</a>",
    "<a href=\"\u{ff4a}avascript:alert(1)\">x</a>",
    "<a href=\"data:text/html;base64,PHNjcmlwdD4=\">x</a>",
    "<a href=\"blob:https://x.example/1\">x</a>",
    "<p style=\"background-image:url(https://x.example/a)\">x</p>",
    "<p style=\"background:image-set('https://x.example/a' 1x)\">x</p>",
    "<p style=\"border-image:image-set('https://x.example/a' 1x)\">x</p>",
    "<p style=\"color:red;backgr\\6fund:u\\72l(https://x.example/a)\">x</p>",
    "<p style=\"width:1px;/*\">x</p><p style=\"*/background:u/**/rl(https://x.example/a)\">x</p>",
    "<p style=\"font-family:'</style><script>alert(1)</script>'\">x</p>",
    "<p style=\"content:'x';behavior:x;-moz-binding:x\">x</p>",
    "<p style=\"list-style:square;display:block;float:left;transform:scale(9);z-index:9\">x</p>",
];

/// Every tag of what is shown, with its attributes, is looked at: text may say what it wants.
#[test]
fn nothing_that_acts_or_breaks_out_is_shown() {
    const NEVER: &[&str] = &[
        "<script",
        "<style",
        "<iframe",
        "<object",
        "<embed",
        "<form",
        "<input",
        "<button",
        "<svg",
        "<math",
        "<meta",
        "<link",
        "<base",
        "<body",
        "<video",
        "<audio",
        "<template",
        "<!--",
        "<area",
        "<select",
        "<textarea",
    ];
    const NEVER_WITHIN: &[&str] = &[
        " on",
        "javascript:",
        "expression",
        "url(",
        "position",
        "margin",
        " id=",
        " name=",
        " class=",
        "background=",
        "srcset=",
        "data:",
        "ping=",
        "image-set",
        "behavior",
        "transform",
        "z-index",
    ];
    for vector in VECTORS {
        let shown = clean(&format!("before {vector} after")).unwrap().to_lowercase();
        for word in NEVER {
            assert!(!shown.contains(word), "{word} of {vector} is in {shown}");
        }
        for tag in shown.split('<').skip(1).filter_map(|tag| tag.split_once('>')).map(|(tag, _)| tag) {
            for word in NEVER_WITHIN {
                assert!(!tag.contains(word), "{word} of {vector} is in {shown}");
            }
        }
        // What is clean stays as it is: nothing new comes out of reading it again.
        assert_eq!(clean(&shown).as_deref(), Some(shown.as_str()), "{vector}");
    }
}

#[test]
fn html_beyond_what_can_be_cleaned_is_not_shown_as_it_is() {
    assert_eq!(clean(&"<div>".repeat(5_000)), None);
    assert_eq!(clean(&"<br>".repeat(MAX_TAGS + 1)), None);
}
