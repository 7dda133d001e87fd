//! The part of SOQL that clients of sales records use, with a real parser.

mod ast;
mod cursor;
mod lexer;
mod literal;
mod matching;
mod parser;
mod run;

pub(crate) use cursor::Cursors;
pub(crate) use parser::parse;
pub(crate) use run::{Source, run};
