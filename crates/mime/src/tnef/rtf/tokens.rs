//! RTF cut into its tokens: groups, control words, control symbols and runs of text. One pass; what is raw behind `\bin` is
//! stepped over, for it may look like anything.

/// One token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'a> {
    Open,
    Close,
    /// A control word and its number.
    Word(&'a [u8], Option<i32>),
    /// A control symbol, other than those that stand for themselves.
    Symbol(u8),
    /// Bytes of text that stand for themselves, in the code page that holds.
    Text(&'a [u8]),
    /// A byte of text that was written as two digits.
    Byte(u8),
}

/// Digits of a number that are read.
const MAX_DIGITS: usize = 10;

/// Bytes of text in one token.
const MAX_RUN: usize = 4096;

/// The tokens of a document.
pub(super) struct Tokens<'a> {
    rest: &'a [u8],
}

impl<'a> Tokens<'a> {
    pub(super) const fn new(rtf: &'a [u8]) -> Self {
        Self { rest: rtf }
    }

    /// Cuts off so many bytes, or all there are.
    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, &[]));
        self.rest = rest;
        taken
    }

    /// Reads what follows a backslash; nothing of what says nothing.
    fn control(&mut self) -> Option<Token<'a>> {
        let letters = self.rest.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        if letters == 0 {
            return self.symbol();
        }
        let word = self.take(letters);
        let number = self.number();
        self.rest = self.rest.strip_prefix(b" ").unwrap_or(self.rest);
        if word == b"bin"
            && let Some(length) = number
        {
            self.take(usize::try_from(length).unwrap_or(0));
            return None;
        }
        Some(Token::Word(word, number))
    }

    /// Reads the number behind a word, if there is one.
    fn number(&mut self) -> Option<i32> {
        let (sign, digits) = match self.rest {
            [b'-', digits @ ..] => (-1, digits),
            digits => (1, digits),
        };
        let length = digits.iter().take(MAX_DIGITS).take_while(|byte| byte.is_ascii_digit()).count();
        let (number, rest) = digits.split_at_checked(length).filter(|_| length > 0)?;
        self.rest = rest;
        number.iter().try_fold(0i32, |number, digit| {
            number.checked_mul(10)?.checked_add(sign * i32::from(digit - b'0'))
        })
    }

    fn symbol(&mut self) -> Option<Token<'a>> {
        let symbol = self.take(1);
        match *symbol.first()? {
            b'\'' => {
                let digit = |at: usize| self.rest.get(at).and_then(|&byte| char::from(byte).to_digit(16));
                let (high, low) = (digit(0)?, digit(1)?);
                self.take(2);
                Some(Token::Byte(u8::try_from(high * 16 + low).unwrap_or_default()))
            }
            b'\\' | b'{' | b'}' => Some(Token::Text(symbol)),
            byte => Some(Token::Symbol(byte)),
        }
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            match *self.rest.first()? {
                b'{' => {
                    self.take(1);
                    return Some(Token::Open);
                }
                b'}' => {
                    self.take(1);
                    return Some(Token::Close);
                }
                b'\\' => {
                    self.take(1);
                    if let Some(token) = self.control() {
                        return Some(token);
                    }
                }
                // Line ends are the writer's; they mean nothing.
                b'\r' | b'\n' | 0 => {
                    self.take(1);
                }
                _ => {
                    let ends = |byte: &u8| matches!(byte, b'{' | b'}' | b'\\' | b'\r' | b'\n' | 0);
                    let run = self.rest.get(..MAX_RUN).unwrap_or(self.rest);
                    let length = run.iter().position(ends).unwrap_or(run.len());
                    return Some(Token::Text(self.take(length)));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_cut_into_its_tokens() {
        let tokens: Vec<_> = Tokens::new(b"{\\rtf1\\ansi a\r\nb\\'e9\\{\\~\\bin3 }}}\\u-3 ?\\x- }").collect();
        assert_eq!(
            tokens,
            [
                Token::Open,
                Token::Word(b"rtf", Some(1)),
                Token::Word(b"ansi", None),
                Token::Text(b"a"),
                Token::Text(b"b"),
                Token::Byte(0xe9),
                Token::Text(b"{"),
                Token::Symbol(b'~'),
                Token::Word(b"u", Some(-3)),
                Token::Text(b"?"),
                Token::Word(b"x", None),
                Token::Text(b"- "),
                Token::Close,
            ]
        );
    }
}
