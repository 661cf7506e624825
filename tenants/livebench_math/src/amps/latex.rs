//! Formulae in the part of LaTeX that answers are written in.
//!
//! What is not read here is no formula. Letters are unknowns, `e` and `i` among them, as in the reference; `\pi` is the
//! number. A letter before a parenthesis is multiplied by it.

/// Longest formula that is read, in bytes; labels have at most 200.
const LENGTH_MAX: usize = 8_000;

/// How deep a formula may be nested.
const DEPTH_MAX: usize = 100;

/// A formula.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Formula {
    /// A number, not negative.
    Number(f64),
    /// An unknown: a letter or a Greek name, with its index.
    Unknown(String),
    /// The sum of two.
    Sum(Box<Formula>, Box<Formula>),
    /// The product of two.
    Product(Box<Formula>, Box<Formula>),
    /// The first divided by the second.
    Quotient(Box<Formula>, Box<Formula>),
    /// The first to the power of the second.
    Power(Box<Formula>, Box<Formula>),
    /// The negative.
    Negative(Box<Formula>),
    /// A function of it.
    Function(Function, Box<Formula>),
}

/// Functions, by the names they have in LaTeX.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Function {
    Sin,
    Cos,
    Tan,
    Sec,
    Csc,
    Cot,
    Arcsin,
    Arccos,
    Arctan,
    Sinh,
    Cosh,
    Tanh,
    Exp,
    Log,
    Abs,
}

const FUNCTIONS: &[(&str, Function)] = &[
    ("sin", Function::Sin),
    ("cos", Function::Cos),
    ("tan", Function::Tan),
    ("sec", Function::Sec),
    ("csc", Function::Csc),
    ("cot", Function::Cot),
    ("arcsin", Function::Arcsin),
    ("arccos", Function::Arccos),
    ("arctan", Function::Arctan),
    ("sinh", Function::Sinh),
    ("cosh", Function::Cosh),
    ("tanh", Function::Tanh),
    ("exp", Function::Exp),
    ("ln", Function::Log),
    ("log", Function::Log),
];

/// Names of commands that stand for an unknown.
const GREEK: &[&str] = &[
    "alpha",
    "beta",
    "gamma",
    "delta",
    "epsilon",
    "varepsilon",
    "zeta",
    "eta",
    "theta",
    "vartheta",
    "iota",
    "kappa",
    "lambda",
    "mu",
    "nu",
    "xi",
    "rho",
    "sigma",
    "tau",
    "upsilon",
    "phi",
    "varphi",
    "chi",
    "psi",
    "omega",
    "Gamma",
    "Delta",
    "Theta",
    "Lambda",
    "Xi",
    "Pi",
    "Sigma",
    "Upsilon",
    "Phi",
    "Psi",
    "Omega",
];

impl Function {
    /// The function whose minus-first power is written for this one: `\sin^{-1}`.
    fn inverse(self) -> Option<Function> {
        match self {
            Function::Sin => Some(Function::Arcsin),
            Function::Cos => Some(Function::Arccos),
            Function::Tan => Some(Function::Arctan),
            _ => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Number(f64),
    Letter(char),
    Command(String),
    Mark(char),
}

/// Reads a formula; `None` where the text is none, or too long or too deep.
pub(crate) fn parse(text: &str) -> Option<Formula> {
    if text.len() > LENGTH_MAX {
        return None;
    }
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens: &tokens, at: 0, depth: 0 };
    let formula = parser.sum()?;
    (parser.at == tokens.len()).then_some(formula)
}

fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let mut length = c.len_utf8();
        match c {
            _ if c.is_whitespace() || c == '~' => {}
            '0'..='9' | '.' => {
                length = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
                tokens.push(Token::Number(rest[..length].parse().ok()?));
            }
            'a'..='z' | 'A'..='Z' => tokens.push(Token::Letter(c)),
            '\\' => {
                let name = &rest[1..];
                let letters = name.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(name.len());
                length = 1 + letters.max(name.chars().next().map_or(0, char::len_utf8));
                match &rest[1..length] {
                    " " | "," | ";" | ":" | "!" | "quad" | "qquad" | "displaystyle" => {}
                    "{" => tokens.push(Token::Mark('(')),
                    "}" => tokens.push(Token::Mark(')')),
                    "times" | "cdot" | "ast" => tokens.push(Token::Mark('*')),
                    "div" => tokens.push(Token::Mark('/')),
                    "lvert" | "rvert" | "vert" | "mid" => tokens.push(Token::Mark('|')),
                    name => tokens.push(Token::Command(name.to_string())),
                }
            }
            '[' => tokens.push(Token::Mark('[')),
            '+' | '-' | '*' | '/' | '^' | '_' | '(' | ')' | ']' | '{' | '}' | '|' => tokens.push(Token::Mark(c)),
            '−' => tokens.push(Token::Mark('-')),
            '×' | '·' => tokens.push(Token::Mark('*')),
            _ => return None,
        }
        rest = &rest[length..];
    }
    Some(tokens)
}

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn take(&mut self, mark: char) -> Option<()> {
        (self.peek() == Some(&Token::Mark(mark))).then(|| self.at += 1)
    }

    fn sum(&mut self) -> Option<Formula> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return None;
        }
        let mut sum = self.term()?;
        loop {
            if self.take('+').is_some() {
                sum = Formula::Sum(Box::new(sum), Box::new(self.term()?));
            } else if self.take('-').is_some() {
                let term = Formula::Negative(Box::new(self.term()?));
                sum = Formula::Sum(Box::new(sum), Box::new(term));
            } else {
                self.depth -= 1;
                return Some(sum);
            }
        }
    }

    fn term(&mut self) -> Option<Formula> {
        let mut term = self.signed(Self::product)?;
        loop {
            if self.take('*').is_some() {
                term = Formula::Product(Box::new(term), Box::new(self.signed(Self::product)?));
            } else if self.take('/').is_some() {
                term = Formula::Quotient(Box::new(term), Box::new(self.signed(Self::product)?));
            } else {
                return Some(term);
            }
        }
    }

    fn signed(&mut self, inner: fn(&mut Self) -> Option<Formula>) -> Option<Formula> {
        let mut negative = false;
        loop {
            if self.take('-').is_some() {
                negative = !negative;
            } else if self.take('+').is_none() {
                let formula = inner(self)?;
                return Some(if negative { Formula::Negative(Box::new(formula)) } else { formula });
            }
        }
    }

    /// Factors side by side: `3x\sqrt{2}(x+1)`.
    fn product(&mut self) -> Option<Formula> {
        let mut product = self.factor()?;
        while self.at_factor() {
            product = Formula::Product(Box::new(product), Box::new(self.factor()?));
        }
        Some(product)
    }

    /// Whether a factor begins here. A bar does not: between factors it closes.
    fn at_factor(&self) -> bool {
        match self.peek() {
            Some(Token::Number(_) | Token::Letter(_) | Token::Command(_)) => true,
            Some(Token::Mark(mark)) => matches!(mark, '(' | '[' | '{'),
            None => false,
        }
    }

    fn factor(&mut self) -> Option<Formula> {
        let base = self.base()?;
        self.powers(base)
    }

    fn powers(&mut self, base: Formula) -> Option<Formula> {
        if self.take('^').is_none() {
            return Some(base);
        }
        let exponent = self.script()?;
        let power = Formula::Power(Box::new(base), Box::new(exponent));
        if self.peek() == Some(&Token::Mark('^')) { None } else { Some(power) }
    }

    /// What stands raised: a group in braces, or one factor without powers of its own.
    fn script(&mut self) -> Option<Formula> {
        if self.peek() == Some(&Token::Mark('{')) { self.group('{', '}') } else { self.signed(Self::base) }
    }

    fn group(&mut self, open: char, close: char) -> Option<Formula> {
        self.take(open)?;
        let formula = self.sum()?;
        self.take(close)?;
        Some(formula)
    }

    fn base(&mut self) -> Option<Formula> {
        match self.peek()?.clone() {
            Token::Number(number) => {
                self.at += 1;
                Some(Formula::Number(number))
            }
            Token::Letter(letter) => {
                self.at += 1;
                self.unknown(letter.to_string())
            }
            Token::Mark('(') => self.group('(', ')'),
            Token::Mark('[') => self.group('[', ']'),
            Token::Mark('{') => self.group('{', '}'),
            Token::Mark('|') => self.group('|', '|').map(|inside| Formula::Function(Function::Abs, Box::new(inside))),
            Token::Mark(_) => None,
            Token::Command(name) => {
                self.at += 1;
                self.command(&name)
            }
        }
    }

    fn unknown(&mut self, mut name: String) -> Option<Formula> {
        if self.take('_').is_some() {
            let start = self.at;
            if self.peek() == Some(&Token::Mark('{')) { self.group('{', '}') } else { self.base() }?;
            for token in &self.tokens[start..self.at] {
                match token {
                    Token::Number(number) => name.push_str(&format!("_{number}")),
                    Token::Letter(letter) => name.push_str(&format!("_{letter}")),
                    Token::Command(command) => name.push_str(&format!("_{command}")),
                    Token::Mark(_) => {}
                }
            }
        }
        Some(Formula::Unknown(name))
    }

    fn command(&mut self, name: &str) -> Option<Formula> {
        match name {
            "pi" => return Some(Formula::Number(std::f64::consts::PI)),
            "frac" | "dfrac" | "tfrac" => {
                let (above, below) = (self.argument()?, self.argument()?);
                return Some(Formula::Quotient(Box::new(above), Box::new(below)));
            }
            "sqrt" => {
                let degree =
                    if self.peek() == Some(&Token::Mark('[')) { self.group('[', ']')? } else { Formula::Number(2.0) };
                let exponent = Formula::Quotient(Box::new(Formula::Number(1.0)), Box::new(degree));
                return Some(Formula::Power(Box::new(self.argument()?), Box::new(exponent)));
            }
            _ if GREEK.contains(&name) => return self.unknown(format!("\\{name}")),
            _ => {}
        }
        let (_, function) = FUNCTIONS.iter().find(|(known, _)| *known == name)?;
        self.function(*function)
    }

    /// What stands in the braces behind a command, or the one token there.
    fn argument(&mut self) -> Option<Formula> {
        if self.peek() == Some(&Token::Mark('{')) { self.group('{', '}') } else { self.base() }
    }

    fn function(&mut self, function: Function) -> Option<Formula> {
        let base = if self.take('_').is_some() { Some(self.script()?) } else { None };
        let power = if self.take('^').is_some() { Some(self.script()?) } else { None };
        let argument = match self.peek()? {
            Token::Mark('(') => self.group('(', ')')?,
            Token::Mark('[') => self.group('[', ']')?,
            Token::Mark('{') => self.group('{', '}')?,
            Token::Mark('|') => self.base()?,
            _ => self.bare_argument()?,
        };
        let minus_one = Formula::Negative(Box::new(Formula::Number(1.0)));
        if power.as_ref() == Some(&minus_one)
            && let Some(inverse) = function.inverse()
        {
            return Some(Formula::Function(inverse, Box::new(argument)));
        }
        let mut value = Formula::Function(function, Box::new(argument));
        if let Some(base) = base {
            let below = Formula::Function(function, Box::new(base));
            value = Formula::Quotient(Box::new(value), Box::new(below));
        }
        Some(match power {
            Some(power) => Formula::Power(Box::new(value), Box::new(power)),
            None => value,
        })
    }

    /// The factors up to the next function, as in `\sin 3x \cos x`.
    fn bare_argument(&mut self) -> Option<Formula> {
        let mut product = self.factor()?;
        loop {
            let is_function = |name: &str| FUNCTIONS.iter().any(|(known, _)| *known == name);
            let function = matches!(self.peek(), Some(Token::Command(name)) if is_function(name));
            if function || !self.at_factor() {
                return Some(product);
            }
            product = Formula::Product(Box::new(product), Box::new(self.factor()?));
        }
    }
}
