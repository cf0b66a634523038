//! Versions as tool managers' files pin them for any language: `.tool-versions`, `mise.toml`.
//!
//! Pure reading; what a version text means is the language's to say.

use crate::source_tree::SourceTree;

/// The first version that `.tool-versions` names for a tool.
pub(super) fn pinned(tree: &SourceTree, tool: &str) -> Option<String> {
    let text = tree.read_text(".tool-versions")?;
    text.lines().find_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace();
        (words.next()? == tool).then(|| words.next().map(str::to_owned))?
    })
}

/// The version that `mise.toml` names for a tool: a text, the first of a list, or a table's.
pub(super) fn mise(tree: &SourceTree, tool: &str) -> Option<String> {
    let text = ["mise.toml", ".mise.toml"]
        .into_iter()
        .find_map(|path| tree.read_text(path))?;
    let table: toml::Table = text.parse().ok()?;
    let stated = table.get("tools")?.get(tool)?;
    let first = stated
        .as_array()
        .map_or(Some(stated), |list| list.first())?;
    let version = first.get("version").unwrap_or(first);
    version
        .as_str()
        .map(str::to_owned)
        .or_else(|| version.as_integer().map(|number| number.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source_tree::tests::source_of;

    #[test]
    fn pins_are_found() {
        let files = [
            (".tool-versions", "# x\nrust 1.85.0 system # y\njava\n"),
            (
                "mise.toml",
                "[tools]\njava = ['21', '17']\nrust = {version = '1.90'}\nbun = 1\n",
            ),
        ];
        let (_folder, tree) = source_of(&files);
        assert_eq!(pinned(&tree, "rust").as_deref(), Some("1.85.0"));
        assert_eq!(pinned(&tree, "java"), None);
        assert_eq!(pinned(&tree, "go"), None);
        assert_eq!(mise(&tree, "java").as_deref(), Some("21"));
        assert_eq!(mise(&tree, "rust").as_deref(), Some("1.90"));
        assert_eq!(mise(&tree, "bun").as_deref(), Some("1"));
        assert_eq!(mise(&tree, "go"), None);
    }
}
