/// One word, sign or text of an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Name(String),
    /// A quoted name is never a keyword.
    Quoted(String),
    Number(String),
    Text(String),
    Sign(String),
}

/// Splits the text; `None` if it cannot be SQL.
pub(super) fn tokens(text: &str) -> Option<Vec<Token>> {
    let chars: Vec<char> = text.chars().collect();
    let mut at = 0;
    let mut found = Vec::new();
    while let Some(&next) = chars.get(at) {
        match next {
            _ if next.is_whitespace() => at += 1,
            '\'' => found.push(Token::Text(quoted(&chars, &mut at, '\'')?)),
            'E' | 'e' if chars.get(at + 1) == Some(&'\'') => {
                at += 1;
                found.push(Token::Text(quoted(&chars, &mut at, '\'')?));
            }
            '"' => found.push(Token::Quoted(quoted(&chars, &mut at, '"')?)),
            '-' if chars.get(at + 1) == Some(&'-') => skip_line(&chars, &mut at),
            _ if next.is_ascii_digit() => {
                found.push(Token::Number(run(&chars, &mut at, |it| {
                    it.is_ascii_alphanumeric() || it == '.'
                })));
            }
            _ if is_name(next) => {
                found.push(Token::Name(run(&chars, &mut at, |it| {
                    is_name(it) || it.is_ascii_digit()
                })));
            }
            '(' | ')' | '[' | ']' | ',' | ';' | '.' => {
                at += 1;
                found.push(Token::Sign(next.to_string()));
            }
            ':' if chars.get(at + 1) == Some(&':') => {
                at += 2;
                found.push(Token::Sign("::".to_owned()));
            }
            _ => {
                let sign = run(&chars, &mut at, |it| "+-*/<>=~!@#%^&|`?:".contains(it));
                if sign.is_empty() {
                    return None;
                }
                found.push(Token::Sign(sign));
            }
        }
    }
    Some(found)
}

fn is_name(it: char) -> bool {
    it.is_alphabetic() || it == '_' || it == '$'
}

fn run(chars: &[char], at: &mut usize, belongs: impl Fn(char) -> bool) -> String {
    let text: String = chars.iter().skip(*at).copied().take_while(|it| belongs(*it)).collect();
    *at += text.chars().count();
    text
}

/// A text or a name in quotes, in which a quote is doubled.
fn quoted(chars: &[char], at: &mut usize, quote: char) -> Option<String> {
    *at += 1;
    let mut text = String::new();
    loop {
        let next = *chars.get(*at)?;
        *at += 1;
        if next != quote {
            text.push(next);
        } else if chars.get(*at) == Some(&quote) {
            *at += 1;
            text.push(quote);
        } else {
            return Some(text);
        }
    }
}

fn skip_line(chars: &[char], at: &mut usize) {
    run(chars, at, |it| it != '\n');
}
