//! The language of configuration files (Xen `docs/man/xl.cfg.5`, "Syntax").
//!
//! Assignments of numbers, strings and lists, ended by line ends or semicolons. `+=` adds to a
//! string or a list. Comments begin with `#`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::Error;

/// Lists within lists: deeper is nobody's configuration.
const DEEPEST: u32 = 8;

/// A value as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A number or a string; numbers are kept as written.
    Text(String),
    /// `[ a, b ]`.
    List(Vec<Value>),
}

/// A key's value, and the line where it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// See [`Value`].
    pub value: Value,
    /// From 1.
    pub line: u32,
    /// The order in which keys came.
    pub order: usize,
}

/// All settings of a configuration; later ones replace earlier ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The file, for messages.
    pub file: PathBuf,
    /// By key.
    pub all: HashMap<String, Setting>,
    /// Lines beyond are overrides from the command line; 0 if there are none.
    pub own_lines: u32,
}

/// Parses a configuration.
///
/// # Errors
/// The first thing that is not in the language.
pub fn parse(file: &Path, text: &str) -> Result<Settings, Error> {
    let mut settings = Settings {
        file: file.to_owned(),
        ..Settings::default()
    };
    parse_into(&mut settings, file, text)?;
    Ok(settings)
}

/// Parses assignments behind those that are there already. Gives the keys that they set.
fn parse_into(settings: &mut Settings, file: &Path, text: &str) -> Result<Vec<String>, Error> {
    let mut parser = Parser {
        file,
        rest: text,
        line: 1,
    };
    let mut keys = Vec::new();
    while let Some((key, adds, setting)) = parser.statement()? {
        let order = settings.all.len();
        let line = setting.line;
        keys.push(key.clone());
        match settings.all.get_mut(&key) {
            Some(before) if adds => {
                match (&mut before.value, setting.value) {
                    (Value::Text(before), Value::Text(more)) => before.push_str(&more),
                    (Value::List(before), Value::List(more)) => before.extend(more),
                    _ => {
                        let mut error =
                            parser.error("+= adds a string to a string, a list to a list", "");
                        (error.key, error.line) = (key, line);
                        return Err(error);
                    }
                }
                before.line = line;
            }
            _ => {
                settings.all.insert(key, Setting { order, ..setting });
            }
        }
    }
    Ok(keys)
}

/// As [`parse`], with `key=value` words from a command line behind the file. Quotes may be missing
/// there, since a shell has eaten them.
///
/// # Errors
/// As [`parse`].
pub fn parse_with(file: &Path, text: &str, overrides: &[String]) -> Result<Settings, Error> {
    let mut settings = parse(file, text)?;
    for word in overrides {
        let line = Path::new("command line");
        let mut with = settings.clone();
        let parsed = parse_into(&mut with, line, word);
        let keys = parsed.or_else(|error| match word.split_once('=') {
            Some((key, value)) if !value.trim_start().starts_with(['[', '"', '\'']) => {
                let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
                with = settings.clone();
                let word = format!("{key}=\"{quoted}\"");
                parse_into(&mut with, line, &word).map_err(|_| error)
            }
            _ => Err(error),
        })?;
        settings = with;
        for key in keys {
            if let Some(setting) = settings.all.get_mut(&key) {
                setting.line = 0;
            }
        }
    }
    Ok(settings)
}

struct Parser<'a> {
    file: &'a Path,
    rest: &'a str,
    line: u32,
}

impl Parser<'_> {
    fn error(&self, cause: impl Into<String>, advice: impl Into<String>) -> Error {
        Error {
            file: self.file.to_owned(),
            line: self.line,
            key: String::new(),
            cause: cause.into(),
            advice: advice.into(),
        }
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let next = chars.next()?;
        self.rest = chars.as_str();
        if next == '\n' {
            self.line += 1;
        }
        Some(next)
    }

    /// Skips blanks and comments, and line ends too if `lines`.
    fn skip(&mut self, lines: bool) {
        while let Some(next) = self.peek() {
            match next {
                ' ' | '\t' | '\r' => {}
                '#' => {
                    let end = self.rest.find('\n').unwrap_or(self.rest.len());
                    self.rest = &self.rest[end..];
                    continue;
                }
                '\n' if lines => {}
                _ => return,
            }
            self.next();
        }
    }

    /// What stands where something else should.
    fn unexpected(&self, wanted: &str) -> Error {
        let Some(found) = self.peek() else {
            return self.error(format!("the file ends where {wanted} should be"), "");
        };
        if let Some(name) = typographic(found) {
            let code = u32::from(found);
            return self.error(
                format!("{name} {found} (U+{code:04X}) where {wanted} should be"),
                "it comes from a web page or a word processor: write ' or \" instead",
            );
        }
        match found {
            '\u{a0}' | '\u{2007}' | '\u{202f}' | '\u{feff}' => self.error(
                format!("an invisible character (U+{:04X})", u32::from(found)),
                "it comes from a web page: delete it or write a plain space",
            ),
            '\n' => self.error(format!("the line ends where {wanted} should be"), ""),
            '(' | ')' | ':' | '+' | '-' | '.' | '{' => self.error(
                format!("{found} where {wanted} should be"),
                "this is no Python: only numbers, quoted strings and [lists] are understood",
            ),
            'A'..='Z' => self.error(
                format!("{found} where {wanted} should be"),
                "keys are lower case, strings need quotes",
            ),
            'a'..='z' => self.error(
                format!("{found} where {wanted} should be"),
                "strings need quotes",
            ),
            _ => self.error(format!("{found} where {wanted} should be"), ""),
        }
    }

    /// The next assignment: its key, whether it adds, and what.
    fn statement(&mut self) -> Result<Option<(String, bool, Setting)>, Error> {
        loop {
            self.skip(true);
            if self.peek() != Some(';') {
                break;
            }
            self.next();
        }
        if self.rest.is_empty() {
            return Ok(None);
        }
        let line = self.line;
        let is_first = |next: char| next.is_ascii_lowercase() || next == '_';
        if !self.peek().is_some_and(is_first) {
            return Err(self.unexpected("a key"));
        }
        let key = self.word(|next| matches!(next, 'a'..='z' | '0'..='9' | '.' | '_'));
        let named = |mut error: Error| {
            error.key.clone_from(&key);
            error
        };
        self.skip(false);
        let adds = self.rest.starts_with("+=");
        if adds {
            self.next();
        }
        if self.peek() != Some('=') {
            return Err(named(self.unexpected("=")));
        }
        self.next();
        self.skip(false);
        let value = self.value(0).map_err(named)?;
        self.skip(false);
        match self.peek() {
            None | Some('\n' | ';') => {}
            Some(_) => return Err(named(self.unexpected("the end of the line"))),
        }
        let setting = Setting {
            value,
            line,
            order: 0,
        };
        Ok(Some((key, adds, setting)))
    }

    fn word(&mut self, belongs: impl Fn(char) -> bool) -> String {
        let end = self.rest.find(|next| !belongs(next));
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        word.to_owned()
    }

    fn value(&mut self, depth: u32) -> Result<Value, Error> {
        match self.peek() {
            Some(quote @ ('\'' | '"')) => {
                self.next();
                self.string(quote).map(Value::Text)
            }
            Some('0'..='9') => {
                let is_hex = |next| matches!(next, '0'..='9' | 'a'..='f' | 'A'..='F' | 'x');
                Ok(Value::Text(self.word(is_hex)))
            }
            // A sign is no part of xl's language, but of xm's, and there is no other reading.
            Some('-') if self.rest[1..].starts_with(|next: char| next.is_ascii_digit()) => {
                self.next();
                let digits = self.word(|next| next.is_ascii_digit());
                Ok(Value::Text(format!("-{digits}")))
            }
            Some('[') if depth < DEEPEST => {
                self.next();
                self.list(depth + 1).map(Value::List)
            }
            _ => Err(self.unexpected("a number, a quoted string or a list")),
        }
    }

    fn list(&mut self, depth: u32) -> Result<Vec<Value>, Error> {
        let start = self.line;
        let mut values = Vec::new();
        loop {
            self.skip(true);
            match self.peek() {
                Some(']') => break,
                None => {
                    let mut error = self.error("the list is not closed", "a ] is missing");
                    error.line = start;
                    return Err(error);
                }
                Some(_) => values.push(self.value(depth)?),
            }
            self.skip(true);
            match self.peek() {
                Some(',') => {
                    self.next();
                }
                Some(']') => {}
                _ => return Err(self.unexpected("a comma or ]")),
            }
        }
        self.next();
        Ok(values)
    }

    fn string(&mut self, quote: char) -> Result<String, Error> {
        let mut text = String::new();
        loop {
            match self.peek() {
                None | Some('\n') => {
                    let closing = text
                        .chars()
                        .find_map(|c| typographic(c).map(|name| (name, c)));
                    return Err(match closing {
                        Some((name, found)) => self.error(
                            format!("the string is not closed, but has a {name} {found} in it"),
                            format!("write {quote} instead"),
                        ),
                        None => {
                            self.error("the string is not closed", format!("a {quote} is missing"))
                        }
                    });
                }
                Some('\0') => return Err(self.error("a zero byte in a string", "")),
                Some('\\') => {
                    self.next();
                    text.push(self.escape()?);
                }
                Some(next) => {
                    self.next();
                    if next == quote {
                        return Ok(text);
                    }
                    text.push(next);
                }
            }
        }
    }

    fn escape(&mut self) -> Result<char, Error> {
        let unknown = "unknown escape behind \\";
        match self.peek() {
            Some('n') => self.next().map(|_| '\n'),
            Some('r') => self.next().map(|_| '\r'),
            Some('t') => self.next().map(|_| '\t'),
            Some('x') => {
                self.next();
                let digits = self.rest.get(..2).unwrap_or_default();
                let code = u8::from_str_radix(digits, 16)
                    .ok()
                    .filter(|code| *code != 0);
                let code =
                    code.ok_or_else(|| self.error(unknown, "\\x needs two hexadecimal digits"))?;
                self.rest = &self.rest[2..];
                return Ok(char::from(code));
            }
            Some('0'..='7') => {
                let mut code = 0u32;
                for _ in 0..3 {
                    let Some(digit) = self.peek().and_then(|next| next.to_digit(8)) else {
                        break;
                    };
                    code = code * 8 + digit;
                    self.next();
                }
                let code = u8::try_from(code).ok().filter(|code| *code != 0);
                return code.map(char::from).ok_or_else(|| self.error(unknown, ""));
            }
            Some(next @ ('\\' | '\'' | '"')) => self.next().map(|_| next),
            _ => return Err(self.error(unknown, "write \\\\ for a backslash")),
        }
        .ok_or_else(|| self.error(unknown, ""))
    }
}

/// The name of a quotation mark that is none of ours.
fn typographic(found: char) -> Option<&'static str> {
    Some(match found {
        '\u{201c}' | '\u{201d}' | '\u{201e}' | '\u{201f}' | '\u{2033}' => {
            "typographic double quote"
        }
        '\u{2018}' | '\u{2019}' | '\u{201a}' | '\u{201b}' | '\u{2032}' => {
            "typographic single quote"
        }
        '\u{ab}' | '\u{bb}' | '\u{2039}' | '\u{203a}' => "angle quote",
        '\u{b4}' | '`' => "accent",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn get(text: &str, key: &str) -> Value {
        let settings = parse(Path::new("t.cfg"), text).unwrap();
        settings.all[key].value.clone()
    }

    fn fails(text: &str) -> String {
        let error = parse(Path::new("t.cfg"), text).unwrap_err();
        error.to_string()
    }

    fn words(words: &[&str]) -> Value {
        Value::List(
            words
                .iter()
                .map(|word| Value::Text((*word).into()))
                .collect(),
        )
    }

    #[test]
    fn numbers_strings_and_lists_are_understood() {
        let text = "# a comment\nmemory = 0x200 ; vcpus=2\nname='a\\'b' # more\n\
                    disk = [ 'phy:/dev/a,xvda,w', # first\n \"b\",\n ]\nempty=[]\nvif=['']\r\n";
        assert_eq!(get(text, "memory"), Value::Text("0x200".into()));
        assert_eq!(get(text, "vcpus"), Value::Text("2".into()));
        assert_eq!(get(text, "name"), Value::Text("a'b".into()));
        assert_eq!(get(text, "disk"), words(&["phy:/dev/a,xvda,w", "b"]));
        assert_eq!(get(text, "empty"), words(&[]));
        assert_eq!(get(text, "vif"), words(&[""]));
        assert_eq!(get("a='\\x41\\102\\n'", "a"), Value::Text("AB\n".into()));
    }

    #[test]
    fn later_settings_replace_and_plus_adds() {
        let text = "a='x'\na='y'\nb='1'\nb+='2'\nc=['1']\nc+=['2']\nd+='new'";
        assert_eq!(get(text, "a"), Value::Text("y".into()));
        assert_eq!(get(text, "b"), Value::Text("12".into()));
        assert_eq!(get(text, "c"), words(&["1", "2"]));
        assert_eq!(get(text, "d"), Value::Text("new".into()));
        assert!(fails("a='x'\na+=['y']").starts_with("t.cfg:2: a: += adds"));
    }

    #[test]
    fn typographic_quotes_are_named() {
        let message = fails("name = \"x\"\nkernel = “/boot/vmlinuz”\n");
        assert!(
            message.starts_with("t.cfg:2: kernel: typographic double quote “ (U+201C)"),
            "{message}"
        );
        assert!(message.ends_with("write ' or \" instead"), "{message}");
        assert!(fails("disk = [ ‘phy:x’ ]").contains("typographic single quote ‘ (U+2018)"));
        assert!(
            fails("name = \"x”\n").contains("not closed, but has a typographic double quote ”")
        );
        assert!(fails("memory\u{a0}= 1").contains("invisible character (U+00A0)"));
    }

    #[test]
    fn errors_say_where_and_what() {
        assert_eq!(
            fails("a=1\nname = guest\n"),
            "t.cfg:2: name: g where a number, a quoted string or a list should be; strings need quotes"
        );
        assert_eq!(fails("name 'x'"), "t.cfg:1: name: ' where = should be");
        assert!(fails("\n\ndisk=['a'\n'b']").starts_with("t.cfg:4: disk: ' where a comma or ]"));
        assert!(fails("disk=[ 'a',\n").starts_with("t.cfg:1: disk: the list is not closed"));
        assert!(fails("name='x\n").starts_with("t.cfg:1: name: the string is not closed; a ' is"));
        assert!(fails("import os").contains("where = should be"));
        assert!(fails("a=(1)").contains("no Python"));
    }

    #[test]
    fn overrides_replace_and_need_no_quotes() {
        let overrides = [
            "memory=512".into(),
            "name=other guest".into(),
            "x='y'".into(),
        ];
        let settings = parse_with(Path::new("f"), "memory=1\n", &overrides).unwrap();
        let text = |key: &str| settings.all[key].value.clone();
        assert_eq!(text("memory"), Value::Text("512".into()));
        assert_eq!(text("name"), Value::Text("other guest".into()));
        assert_eq!(text("x"), Value::Text("y".into()));
        assert!(parse_with(Path::new("f"), "", &["nonsense".into()]).is_err());
    }

    #[test]
    fn overrides_add_to_what_the_file_says() {
        let overrides = [
            "extra+= quiet".into(),
            "vif+=['b']".into(),
            "new+=x".into(),
            "vif+=['c']".into(),
        ];
        let text = "extra='ro'\nvif=['a']\n";
        let settings = parse_with(Path::new("f"), text, &overrides).unwrap();
        let value = |key: &str| settings.all[key].value.clone();
        assert_eq!(value("extra"), Value::Text("ro quiet".into()));
        assert_eq!(value("vif"), words(&["a", "b", "c"]));
        assert_eq!(value("new"), Value::Text("x".into()));
        assert_eq!(settings.all["vif"].line, 0);
        assert!(parse_with(Path::new("f"), text, &["vif+='x'".into()]).is_err());
    }

    proptest! {
        #[test]
        fn no_text_upsets_the_parser(text in "[a-z=+'\"\\[\\],;#\\\\\n0-9 “x]{0,80}|\\PC{0,60}") {
            let _ = parse(Path::new("f"), &text);
        }

        #[test]
        fn strings_come_back_as_they_were(text in "[^\\x00\n]{0,40}") {
            let quoted = text.replace('\\', "\\\\").replace('\'', "\\'");
            prop_assert_eq!(get(&format!("k='{quoted}'"), "k"), Value::Text(text));
        }
    }
}
