//! What a push is about, decided from its reference updates alone.

use crate::wire::Update;

/// Branches whose push is a deploy, the first one first.
const DEPLOYED: [&str; 2] = ["main", "master"];

/// What to do with a push.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Refuse all of it.
    Refuse(String),
    /// Move the references, perhaps after a deploy.
    Accept {
        /// What to say first.
        notices: Vec<String>,
        /// What to build.
        deploy: Option<Update>,
    },
}

pub(crate) fn plan(updates: &[Update]) -> Plan {
    if let Some(bad) = updates
        .iter()
        .find(|update| !is_object_id(&update.old) || !is_object_id(&update.new))
    {
        return Plan::Refuse(format!("{} cannot be understood.", bad.name));
    }
    let deployed = |branch: &str| {
        updates
            .iter()
            .find(|update| update.branch() == Some(branch))
    };
    if let Some(branch) = DEPLOYED
        .iter()
        .find(|branch| deployed(branch).is_some_and(Update::is_delete))
    {
        return Plan::Refuse(format!(
            "{branch} cannot be deleted: it is what the app runs. To remove the app: heroku apps:destroy"
        ));
    }
    let mut pushed = DEPLOYED.iter().filter_map(|branch| deployed(branch));
    let deploy = pushed.next().cloned();
    let mut notices = Vec::new();
    if let (Some(deploy), Some(ignored)) = (&deploy, pushed.next()) {
        notices.push(format!(
            "{} and {} are pushed at once, building {0} only.",
            deploy.short(),
            ignored.short()
        ));
        notices.push(String::new());
    }
    if deploy.is_none() {
        let mut branches = updates.iter().filter(|update| !update.is_delete());
        if let Some(branch) = branches.find_map(Update::branch) {
            notices.push("Pushed to non-main branch, skipping build.".to_owned());
            notices.push(format!("To deploy it: git push heroku {branch}:main"));
            notices.push(String::new());
        }
    }
    Plan::Accept { notices, deploy }
}

impl Update {
    /// The branch's name, if the reference is a branch.
    pub(crate) fn branch(&self) -> Option<&str> {
        self.name.strip_prefix("refs/heads/")
    }

    /// The name as people write it.
    pub(crate) fn short(&self) -> &str {
        self.branch().unwrap_or(&self.name)
    }

    /// Whether the reference is to go.
    pub(crate) fn is_delete(&self) -> bool {
        is_none(&self.new)
    }

    /// Whether the reference did not exist when the push began.
    pub(crate) fn is_create(&self) -> bool {
        is_none(&self.old)
    }
}

fn is_none(id: &str) -> bool {
    id.bytes().all(|byte| byte == b'0')
}

/// SHA-1 or SHA-256 in hexadecimal: safe as an argument.
fn is_object_id(id: &str) -> bool {
    matches!(id.len(), 40 | 64) && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(name: &str, old: char, new: char) -> Update {
        let id = |digit: char| digit.to_string().repeat(40);
        Update {
            old: id(old),
            new: id(new),
            name: name.to_owned(),
        }
    }

    fn accepted(updates: &[Update]) -> (Option<String>, String) {
        match plan(updates) {
            Plan::Accept { notices, deploy } => {
                (deploy.map(|update| update.name), notices.join("\n"))
            }
            Plan::Refuse(reason) => panic!("refused: {reason}"),
        }
    }

    #[test]
    fn main_and_master_are_deployed_and_main_wins() {
        let main = update("refs/heads/main", '0', '1');
        let master = update("refs/heads/master", '0', '2');
        assert_eq!(
            accepted(std::slice::from_ref(&main)),
            (Some(main.name.clone()), String::new())
        );
        assert_eq!(
            accepted(std::slice::from_ref(&master)).0,
            Some(master.name.clone())
        );
        let (deploy, notices) = accepted(&[master, main]);
        assert_eq!(deploy.as_deref(), Some("refs/heads/main"));
        assert_eq!(
            notices,
            "main and master are pushed at once, building main only.\n"
        );
    }

    #[test]
    fn other_branches_are_taken_and_not_built() {
        let (deploy, notices) = accepted(&[update("refs/heads/feature/x", '1', '2')]);
        assert_eq!(deploy, None);
        assert_eq!(
            notices,
            "Pushed to non-main branch, skipping build.\nTo deploy it: git push heroku feature/x:main\n"
        );
        assert_eq!(
            accepted(&[update("refs/tags/main", '0', '2')]),
            (None, String::new())
        );
        assert_eq!(
            accepted(&[update("refs/heads/old", '1', '0')]),
            (None, String::new())
        );
    }

    #[test]
    fn deleting_what_runs_is_refused() {
        for name in ["refs/heads/main", "refs/heads/master"] {
            assert!(
                matches!(plan(&[update(name, '1', '0')]), Plan::Refuse(_)),
                "{name}"
            );
        }
    }

    #[test]
    fn ids_that_are_none_are_refused() {
        let mut update = update("refs/heads/x", '1', '2');
        update.new = "--output=/tmp/x".to_owned();
        assert!(matches!(plan(&[update]), Plan::Refuse(_)));
    }
}
