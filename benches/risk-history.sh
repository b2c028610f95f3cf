#!/bin/sh
# Makes a bare repository with many commits by `git fast-import`, and measures `git two-key risk` on it.
#
#   benches/risk-history.sh [COMMITS] [FOLDER]      by default 100000, in a temporary folder that is removed again
#   PROGRAM=target/debug/git-two-key benches/…      another program than the one on the PATH
#
# 200 people change 4000 files in 40 subsystems; every 20th commit says that it fixes a bug, every 100th reverts its
# predecessor, every 50th renames a file. All of it follows from the commit's number, so that every run makes the same ids.
set -eu
commits=${1:-100000}
if [ $# -ge 2 ]; then folder=$2; else folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; fi
program=${PROGRAM:-git-two-key}
repository=$folder/history-$commits.git

if [ ! -d "$repository" ]; then
    git init -q --bare -b main "$repository"
    awk -v commits="$commits" '
        function path(file) { return sprintf("s%02d/d%d/f%d%s.rs", file % 40, file % 7, file, moved[file] ? "-" moved[file] : "") }
        function data(text) { printf "data %d\n%s\n", length(text), text }
        function content(file, lines,   text, line) {
            text = ""
            for (line = 0; line < lines; line++) text = text "line " line " of " file (line == version[file] % lines ? " " version[file] : "") "\n"
            return text
        }
        BEGIN {
            for (number = 1; number <= commits; number++) {
                message = "Change " number
                if (number % 20 == 0) message = "Fix bug " number
                if (number % 100 == 0) message = "Revert \"Change " (number - 1) "\""
                printf "commit refs/heads/main\nmark :%d\n", number
                printf "author P <p%d@example.org> %d +0000\n", (number * 7919) % 200, 1500000000 + number * 600
                printf "committer P <p%d@example.org> %d +0000\n", (number * 7919) % 200, 1500000000 + number * 600
                data(message)
                if (number > 1) print "from :" (number - 1)
                for (touched = 0; touched <= number % 4; touched++) {
                    file = (number * 104729 + touched * 1299709) % 4000
                    version[file]++
                    if (number % 50 == 0 && version[file] > 1 && touched == 0) {
                        old = path(file); moved[file] = number
                        printf "R %s %s\n", old, path(file)
                    }
                    printf "M 100644 inline %s\n", path(file)
                    data(content(file, 20 + file % 60))
                }
            }
        }' | git -C "$repository" fast-import --quiet --max-pack-size=1g
fi
echo "$(git -C "$repository" rev-list --count main) commits, $(du -sh "$repository" | cut -f1) on disk"
for back in 0 $((commits - commits / 10)); do
    to=$(git -C "$repository" rev-parse "main~$back")
    from=$(git -C "$repository" rev-parse "$to~5")
    echo "five changes with $(git -C "$repository" rev-list --count "$from") commits before them:"
    /usr/bin/time -f '%e s, %M KiB' "$program" risk --repository "$repository" --from "$from" --to "$to" --format yaml-block
done
