//! `docs/configuration.md`, made from the table.
//!
//! Invariant: the committed page is what this prints; a test compares them.

use std::fmt::Write as _;

use super::file::PLACES;
use super::programs::fields;
use super::table::TABLE;

const HEAD: &str = "\
# Configuration

*Generated from the table of settings by `raincheck config reference`; a test compares them.*

`raincheck serve` works without any. A setting is said by a flag, an environment variable or a key of the file; the flag is
stronger than the variable, the variable stronger than the file. A list that is said by the stronger replaces the weaker
one whole. An empty variable is an unset one. Relative paths are relative to the folder that the server is started in.

- `RAINCHECK_X_FILE` names a file whose content is the value of `RAINCHECK_X`, for every setting: how Docker and Kubernetes
  hand out secrets. Of a setting that is itself a file's path (`tls_key`) it is that path. Saying both is an error.
- A secret is said by a file that holds it, or by its variable: command lines are seen by who lists processes. `config show` tells
  that it is set, and not what it is.
- `PORT`, as platforms set it, is the port of all addresses that is listened on where no setting names one.
- What means nothing is refused with its place and, where one is near, the name that was meant: keys of the file,
  flags, and variables that almost name a setting. Other `RAINCHECK_*` variables that name none are passed over and told of: in the log,
  and by `raincheck doctor`. Those of other commands and those that Kubernetes makes are left alone.
- `raincheck config show --origin` shows each value and where it was said; `raincheck config check FILE` finds all mistakes of a
  file, and all that a server would be refused for with it, here and now; it changes nothing.
- On SIGHUP the server reads its configuration again. What is marked *live*, and queues, it follows at once; what else
  changed it names in its log, and goes on as before until it is started again. A configuration with a mistake changes
  nothing.
";

const QUEUES: &str = "\
## Queues

```toml
[queues.reports]
worker = { push = [\"http://localhost:8000/jobs/report\"] }   # or { process = [\"./report.sh\"], keep_alive = false }, or \"pull\"
timeout = \"10m\"
concurrency = 4
backoff = \"exponential;base=2s;cap=10m\"
keep = \"7d\"

[queues.reports.groups.\"tenant 7\"]
concurrency = 1
rate = \"5/s\"
```

A table for each, with the settings `program_*` where its programs are to have others than those of all queues, and the fields of `PUT /v1/queues/{queue}`; in the environment `RAINCHECK_QUEUES__REPORTS__CONCURRENCY=4`, on the
command line `--queue reports=http://…` and `--set reports.concurrency=4`. A queue that the file defines is what the
configuration says, with defaults for the rest; one that only flags name keeps the settings that it has. Over the API such
queues can be paused but not changed (409 `queue-managed`). A program is started without a shell, and is looked for when the
server starts. A queue that nobody names any more is ordinary from SIGHUP on: its settings and jobs stay, it can be changed and
deleted over the API, its program is forgotten, so that workers have to ask for its jobs, and URLs that it pushes to are held to public addresses. A table below `groups` has the fields of `PUT /v1/queues/{queue}/groups/{group}`; one
that is taken out is forgotten on SIGHUP, or over the API. URLs that are written here lead where they say; only those that come over the API are held to public
addresses.

";

const PROXY: &str = "\
## Proxy

```toml
[[proxy]]
path = \"/reports/**\"                 # * is part of a segment, ** any number of segments
upstream = \"http://localhost:8000\"
prefix = \"/reports\"                  # taken off: the service sees what comes behind it [default: nothing]
mode = \"prefer\"                      # prefer | always | never
after = \"2s\"                         # a call that takes longer becomes a job
deadline = \"1h\"                      # how long a job may take from its acceptance, its waits included [default: as long as it takes]
retry_unsafe = false                 # whether a job's POST or PATCH may be sent again
retry_codes = [502, 503, 504]        # answers that are no answers yet
queue = \"proxy\"                      # where the jobs wait

[[proxy]]                            # several services, each below a path of its own: path is /shop/** here
prefix = \"/shop\"
upstream = \"http://localhost:8001\"
```

A table for each rule, the first for a path counts; on the command line `--proxy '/reports/**=http://localhost:8000;after=2s'`. The
queue of a rule, and the one beside it whose name ends in `-late`, are made with it; `[queues.proxy]` says more of it, such as
`concurrency` (64 unless said) and `timeout`. How it decides and what it does to each header: [proxy.md](proxy.md).

";

/// The page.
pub(crate) fn reference() -> String {
    let mut page = HEAD.to_owned();
    let places: Vec<_> = PLACES.iter().map(|place| format!("`{place}`")).collect();
    let _ = write!(
        page,
        "- The file is the one that `--config` or `RAINCHECK_CONFIG` names, else the first there is of {}.\n\n## Settings\n\n\
         | key | flag | variable | default | live | |\n|---|---|---|---|---|---|\n",
        places.join(" and ")
    );
    for row in TABLE {
        let default = row.default.map_or_else(String::new, |text| format!("`{text}`"));
        let value = if row.switch {
            String::new()
        } else {
            format!(" {}", row.said_as())
        };
        let live = if row.live { "live" } else { "" };
        let (flag, variable, meaning) = (row.flag(), row.variable(), row.meaning().replace('|', "\\|"));
        let _ = writeln!(
            page,
            "| `{}` | `--{flag}{value}` | `{variable}` | {default} | {live} | {meaning} |",
            row.key()
        );
    }
    page.push('\n');
    page.push_str(PROXY);
    page.push_str(QUEUES);
    let fields: Vec<_> = fields().map(|field| format!("`{field}`")).collect();
    let _ = writeln!(page, "Fields: {}.", fields.join(", "));
    page
}
