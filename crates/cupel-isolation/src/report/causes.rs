use std::error::Error;

/// Returns what an error and its causes say, outermost first, without what is only repeated.
pub fn chain(error: &(dyn Error + 'static)) -> Vec<String> {
    let mut said = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if said.last().is_none_or(|above| !above.ends_with(&text)) {
            said.push(text);
        }
        cause = error.source();
    }
    said
}
