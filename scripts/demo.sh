#!/usr/bin/env bash
# Make a project from the template as it stands here, run its notebook, and say where everything is. Called by make.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
demo=$1

if [ -e "$demo" ] && [ ! -e "$demo/.copier-answers.yml" ]; then
    echo "error: $demo is there and was not made from this template: make demo DEMO=another-folder" >&2
    exit 2
fi
if [ -e "$demo/.git" ] && { [ "$(git -C "$demo" rev-list --count HEAD)" != 1 ] || [ -n "$(git -C "$demo" status --porcelain)" ]; }; then
    echo "error: somebody has worked in $demo: make demo DEMO=another-folder" >&2
    exit 2
fi
rm -rf "$demo"

answers=(--data "python_version=$("$UV_PYTHON" -c 'import sys; print(f"3.{min(sys.version_info.minor, 13)}")')")
if ! git config user.email >/dev/null; then # the first commit needs an author
    answers+=(--data "user_name=Demo User" --data "user_email=demo@example.org")
fi

bold='' plain=''
if [ -t 1 ]; then bold=$'\033[1m' plain=$'\033[0m'; fi
say() { printf '\n%s$ %s%s\n' "$bold" "$*" "$plain"; }
run() { say "$@" && "$@"; }

say copier copy --defaults --vcs-ref HEAD . "$demo"
# HEAD takes uncommitted changes along, and warns that it did; without it, Copier takes the last release. The project
# keeps the place of its template for updates, and "." would be another place there.
PYTHONWARNINGS=ignore .venv/bin/copier copy --quiet --defaults --vcs-ref HEAD "${answers[@]}" "$PWD" "$demo"
committed=$([ -e .git ] && [ -z "$(git status --porcelain)" ] && echo yes || true)
cd "$demo"
run uv run --quiet deriva-ml-init
run uv run deriva-ml-run-notebook notebooks/my_analysis.ipynb
run uv run deriva-ml-catalog list

printf '\nThe run above says where its record, the executed notebook and the Markdown are. Try next:\n\n'
case $(command -v uv) in */.tools/bin/uv) echo "    export PATH=\"\$PATH:$(dirname "$(command -v uv)")\"" ;; esac
printf '    cd %q\n' "$demo"
cat <<'END'
    uv run deriva-ml-run-notebook notebooks/my_analysis.ipynb --inspect
    uv run deriva-ml-run-notebook notebooks/my_analysis.ipynb assets=different_weights
    uv run deriva-ml-run
    uv run deriva-ml-catalog show DEMO-W001

README.md there goes on from here.
END
if [ -n "$committed" ]; then
    echo 'When the template has another commit, this brings it: uvx copier update --defaults --vcs-ref HEAD'
else
    echo 'It cannot be updated: the state of the template that it came from is not committed.'
fi
