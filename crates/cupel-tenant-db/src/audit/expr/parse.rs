use super::Expr;
use super::lex::Token;

/// What follows a type that may lose a part of the value, or is not known to keep it.
const WHOLE: [&str; 9] =
    ["text", "uuid", "bigint", "integer", "int", "int8", "int4", "character varying", "varchar"];

/// Reads tokens as one expression; `None` if they are not one.
pub(super) fn whole(tokens: Vec<Token>) -> Option<Expr> {
    let mut parser = Parser { tokens, at: 0 };
    let expr = parser.or()?;
    parser.take(";");
    (parser.at == parser.tokens.len()).then_some(expr)
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    fn take(&mut self, sign: &str) -> bool {
        let is = matches!(self.peek(), Some(Token::Sign(it)) if it == sign);
        self.at += usize::from(is);
        is
    }

    fn word(&mut self, word: &str) -> bool {
        let is = matches!(self.peek(), Some(Token::Name(it)) if it.eq_ignore_ascii_case(word));
        self.at += usize::from(is);
        is
    }

    fn or(&mut self) -> Option<Expr> {
        let mut parts = vec![self.and()?];
        while self.word("OR") {
            parts.push(self.and()?);
        }
        Some(if parts.len() == 1 { parts.remove(0) } else { Expr::Or(parts) })
    }

    fn and(&mut self) -> Option<Expr> {
        let mut parts = vec![self.not()?];
        while self.word("AND") {
            parts.push(self.not()?);
        }
        Some(if parts.len() == 1 { parts.remove(0) } else { Expr::And(parts) })
    }

    fn not(&mut self) -> Option<Expr> {
        if self.word("NOT") {
            return Some(Expr::Not(Box::new(self.not()?)));
        }
        self.test()
    }

    /// `IS …` after whatever binds tighter.
    fn test(&mut self) -> Option<Expr> {
        let left = self.operators()?;
        if !self.word("IS") {
            return Some(left);
        }
        let negated = self.word("NOT");
        let found = if self.word("NULL") {
            Expr::IsNull(Box::new(left))
        } else if self.word("DISTINCT") {
            self.word("FROM").then_some(())?;
            Expr::Distinct(Box::new(left), Box::new(self.operators()?))
        } else if self.word("TRUE") {
            left
        } else if negated && self.word("FALSE") {
            return Some(Expr::Call("coalesce".to_owned(), vec![left, Expr::Bool(true)]));
        } else {
            self.next()?;
            Expr::Opaque
        };
        Some(if negated { Expr::Not(Box::new(found)) } else { found })
    }

    fn operators(&mut self) -> Option<Expr> {
        let mut left = self.cast()?;
        loop {
            if self.word("IN") {
                self.take("(").then_some(())?;
                let right = self.select_or_list()?;
                left = Expr::Any(Box::new(left), Box::new(right));
                continue;
            }
            let sign = match self.peek() {
                Some(Token::Sign(sign)) if !"()[],;.".contains(sign.as_str()) && sign != "::" => {
                    sign.clone()
                }
                Some(Token::Name(word)) if word.eq_ignore_ascii_case("LIKE") => "~~".to_owned(),
                _ => return Some(left),
            };
            self.at += 1;
            if self.word("ANY") {
                self.take("(").then_some(())?;
                let right = self.select_or_list()?;
                left = if sign == "=" {
                    Expr::Any(Box::new(left), Box::new(right))
                } else {
                    Expr::Op(sign, vec![left, right])
                };
            } else if self.word("ALL") {
                self.take("(").then_some(())?;
                let right = self.select_or_list()?;
                left = Expr::Op(sign, vec![left, right]);
            } else {
                left = Expr::Op(sign, vec![left, self.cast()?]);
            }
        }
    }

    fn cast(&mut self) -> Option<Expr> {
        let mut expr = self.primary()?;
        loop {
            if self.take("::") {
                let whole = self.type_name()?;
                expr = Expr::Cast { of: Box::new(expr), whole };
            } else if self.take("[") {
                self.or()?;
                self.take("]").then_some(())?;
                expr = Expr::Op("[]".to_owned(), vec![expr]);
            } else if self.word("COLLATE") {
                // Any other may take for equal what is not the same.
                let name = self.name()?;
                let is_exact = ["C", "POSIX", "default", "ucs_basic"]
                    .iter()
                    .any(|it| name.strip_prefix("pg_catalog.").unwrap_or(&name) == *it);
                if !is_exact {
                    expr = Expr::Cast { of: Box::new(expr), whole: false };
                }
            } else {
                return Some(expr);
            }
        }
    }

    /// Whether the type keeps every value whole.
    fn type_name(&mut self) -> Option<bool> {
        let mut name = self.name()?.to_ascii_lowercase();
        for more in ["varying", "precision"] {
            if self.word(more) {
                name = format!("{name} {more}");
            }
        }
        let mut bare = true;
        if self.take("(") {
            bare = false;
            while !self.take(")") {
                self.next()?;
            }
        }
        if (self.word("with") || self.word("without")) && self.word("time") {
            self.word("zone").then_some(())?;
        }
        while self.take("[") {
            self.take("]").then_some(())?;
        }
        let name = name.strip_prefix("pg_catalog.").unwrap_or(&name);
        Some(bare && (WHOLE.contains(&name) || name == "jsonb" || name == "json"))
    }

    /// A name, with its schema if it has one.
    fn name(&mut self) -> Option<String> {
        let mut name = String::new();
        loop {
            match self.next()? {
                Token::Name(part) | Token::Quoted(part) => name.push_str(&part),
                _ => return None,
            }
            if !self.take(".") {
                return Some(name);
            }
            name.push('.');
        }
    }

    fn primary(&mut self) -> Option<Expr> {
        match self.peek()?.clone() {
            Token::Sign(sign) if sign == "(" => {
                self.at += 1;
                self.select_or_list()
            }
            Token::Sign(sign) if "+-~".contains(sign.as_str()) => {
                self.at += 1;
                Some(Expr::Op(sign, vec![self.cast()?]))
            }
            Token::Sign(_) => None,
            Token::Number(text) | Token::Text(text) => {
                self.at += 1;
                Some(Expr::Text(text))
            }
            Token::Quoted(_) => self.named(),
            Token::Name(word) => match word.to_ascii_uppercase().as_str() {
                "TRUE" | "FALSE" => {
                    self.at += 1;
                    Some(Expr::Bool(word.eq_ignore_ascii_case("true")))
                }
                "NULL" => {
                    self.at += 1;
                    Some(Expr::Null)
                }
                "ARRAY" => {
                    self.at += 1;
                    if self.take("(") {
                        return self.select_or_list();
                    }
                    self.take("[").then_some(())?;
                    Some(Expr::Array(self.list("]")?))
                }
                "CASE" => {
                    let begin = self.at;
                    let opened = self.opened_case();
                    self.at = begin;
                    let skipped = self.skip_to_end()?;
                    Some(opened.map_or(skipped.clone(), |it| Expr::Or(vec![it, skipped])))
                }
                "EXISTS" => {
                    self.at += 1;
                    self.take("(").then_some(())?;
                    self.close()
                }
                _ => self.named(),
            },
        }
    }

    fn named(&mut self) -> Option<Expr> {
        let name = self.name()?;
        if self.take("(") {
            return Some(Expr::Call(name, self.list(")")?));
        }
        let last = name.rsplit('.').next().unwrap_or(&name);
        Some(match last.to_ascii_uppercase().as_str() {
            "CURRENT_USER" | "SESSION_USER" | "USER" | "CURRENT_ROLE" => {
                Expr::Call(last.to_ascii_lowercase(), Vec::new())
            }
            _ => Expr::Column(last.to_owned()),
        })
    }

    fn list(&mut self, end: &str) -> Option<Vec<Expr>> {
        let mut items = Vec::new();
        if self.take(end) {
            return Some(items);
        }
        loop {
            items.push(self.or()?);
            if self.take(end) {
                return Some(items);
            }
            self.take(",").then_some(())?;
        }
    }

    /// What stands in parentheses: an expression, several, or a sub-select. A sub-select without FROM is
    /// its expression; any other is not understood.
    fn select_or_list(&mut self) -> Option<Expr> {
        if !self.word("SELECT") {
            let mut items = self.list(")")?;
            return Some(if items.len() == 1 { items.remove(0) } else { Expr::Array(items) });
        }
        let Some(expr) = self.or() else { return self.close() };
        if self.word("AS") {
            self.name()?;
        }
        if self.take(")") { Some(expr) } else { self.close() }
    }

    /// Skips to the parenthesis that closes this one.
    fn close(&mut self) -> Option<Expr> {
        let mut depth = 1;
        while depth > 0 {
            match self.next()? {
                Token::Sign(sign) if sign == "(" => depth += 1,
                Token::Sign(sign) if sign == ")" => depth -= 1,
                _ => {}
            }
        }
        Some(Expr::Opaque)
    }

    /// The condition of a first branch that lets everything through: `CASE WHEN condition THEN true`.
    fn opened_case(&mut self) -> Option<Expr> {
        self.at += 1;
        self.word("WHEN").then_some(())?;
        let condition = self.or()?;
        self.word("THEN").then_some(())?;
        self.word("TRUE").then_some(condition)
    }

    fn skip_to_end(&mut self) -> Option<Expr> {
        let mut depth = 0;
        loop {
            match self.next()? {
                Token::Name(word) if word.eq_ignore_ascii_case("CASE") => depth += 1,
                Token::Name(word) if word.eq_ignore_ascii_case("END") => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return Some(Expr::Opaque);
            }
        }
    }
}
