//! Whom a program runs as: a user of this machine, by name or number.
//!
//! Invariant: names are those of `/etc/passwd` and `/etc/group`; a program that runs as somebody has that user's
//! group, or the one that is named, and no other.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where users are listed.
const PASSWD: &str = "/etc/passwd";
/// Where groups are.
const GROUP: &str = "/etc/group";

/// Whom somebody named: `USER` or `USER:GROUP`, each a name or a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserName {
    user: String,
    group: Option<String>,
}

/// A user of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The number.
    pub uid: u32,
    /// The group's.
    pub gid: u32,
    /// The name, where it has one.
    pub name: Option<String>,
    /// Where it is at home, where that is known.
    pub home: Option<PathBuf>,
}

/// Why nobody can be that user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoUser {
    /// It is not written so.
    #[error("write a user, or USER:GROUP, each by its name or number")]
    Form,
    /// Nobody has that name.
    #[error("this machine has no user {0:?}")]
    User(String),
    /// No group has that name.
    #[error("this machine has no group {0:?}")]
    Group(String),
    /// A number alone says no group.
    #[error("user {0} has no entry in /etc/passwd: name its group as well, USER:GROUP")]
    GroupMissing(u32),
    /// A list cannot be read.
    #[error("{0} cannot be read: {1}")]
    Unreadable(&'static str, String),
}

impl FromStr for UserName {
    type Err = NoUser;

    fn from_str(text: &str) -> Result<Self, NoUser> {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text, None),
        };
        let fit = |word: &str| !word.is_empty() && !word.contains(|c: char| c == ':' || c.is_whitespace());
        if !fit(user) || !group.is_none_or(fit) {
            return Err(NoUser::Form);
        }
        Ok(Self {
            user: user.to_owned(),
            group: group.map(str::to_owned),
        })
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.user)?;
        self.group.iter().try_for_each(|group| write!(f, ":{group}"))
    }
}

impl UserName {
    /// The user of that name.
    ///
    /// # Errors
    /// When there is none.
    pub fn look_up(&self) -> Result<User, NoUser> {
        let read = |path: &'static str| {
            std::fs::read_to_string(path).map_err(|error| NoUser::Unreadable(path, error.to_string()))
        };
        // Numbers need no list: an image may have none.
        let listed = match (self.user.parse::<u32>(), read(PASSWD)) {
            (Ok(_), Err(_)) => String::new(),
            (_, listed) => listed?,
        };
        let groups = match &self.group {
            Some(group) if group.parse::<u32>().is_err() => read(GROUP)?,
            Some(_) | None => String::new(),
        };
        self.among(&listed, &groups)
    }

    fn among(&self, users: &str, groups: &str) -> Result<User, NoUser> {
        let number = self.user.parse::<u32>().ok();
        let line = |line: &str| {
            let mut fields = line.split(':');
            let name = fields.next()?.to_owned();
            let uid = fields.nth(1)?.parse::<u32>().ok()?;
            let gid = fields.next()?.parse::<u32>().ok()?;
            let home = fields.nth(1).filter(|home| !home.is_empty()).map(PathBuf::from);
            (name == self.user || number == Some(uid)).then_some((name, uid, gid, home))
        };
        let known = users.lines().find_map(line);
        let group = match &self.group {
            None => None,
            Some(group) => Some(gid(group, groups).ok_or_else(|| NoUser::Group(group.clone()))?),
        };
        match (known, number) {
            (Some((name, uid, own, home)), _) => Ok(User {
                uid,
                gid: group.unwrap_or(own),
                name: Some(name),
                home,
            }),
            (None, Some(uid)) => Ok(User {
                uid,
                gid: group.ok_or(NoUser::GroupMissing(uid))?,
                name: None,
                home: None,
            }),
            (None, None) => Err(NoUser::User(self.user.clone())),
        }
    }
}

fn gid(group: &str, groups: &str) -> Option<u32> {
    group.parse().ok().or_else(|| {
        let mut lines = groups.lines().map(|line| line.split(':'));
        lines.find_map(|mut fields| (fields.next() == Some(group)).then(|| fields.nth(1)?.parse().ok())?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: &str =
        "root:x:0:0:root:/root:/bin/bash\n# odd\nnobody:x:65534:65534::/nonexistent:/bin/false\n";
    const GROUPS: &str = "root:x:0:\nvideo:x:44:me\n";

    fn user(text: &str) -> Result<(u32, u32), NoUser> {
        let user = text.parse::<UserName>()?.among(USERS, GROUPS)?;
        Ok((user.uid, user.gid))
    }

    #[test]
    fn a_user_is_found_by_name_or_number() {
        for (text, found) in [
            ("nobody", Ok((65534, 65534))),
            ("65534", Ok((65534, 65534))),
            ("nobody:video", Ok((65534, 44))),
            ("1000:1000", Ok((1000, 1000))),
            ("1000:video", Ok((1000, 44))),
            ("1000", Err(NoUser::GroupMissing(1000))),
            ("somebody", Err(NoUser::User("somebody".to_owned()))),
            ("nobody:nobodies", Err(NoUser::Group("nobodies".to_owned()))),
            ("", Err(NoUser::Form)),
            ("a:b:c", Err(NoUser::Form)),
            ("a:", Err(NoUser::Form)),
            ("a b", Err(NoUser::Form)),
        ] {
            assert_eq!(user(text), found, "{text:?}");
        }
    }

    #[test]
    fn a_users_name_and_home_are_known() {
        let nobody = "nobody".parse::<UserName>().unwrap();
        let found = nobody.among(USERS, GROUPS).unwrap();
        assert_eq!(found.name.as_deref(), Some("nobody"));
        assert_eq!(found.home, Some(PathBuf::from("/nonexistent")));
    }
}
