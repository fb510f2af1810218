#!/bin/sh
# Re-creates the vendored files beside this script, from the npm packages named here.
# Needs npm and a network that reaches its registry; then run the browser test.
set -eu
graphiql=3.9.0
react=18.3.1

here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

unpack() { # package, version: leaves its files in $work/<package>
    mkdir "$work/$1"
    (cd "$work" && tar -xzf "$(npm pack --silent "$1@$2")" -C "$1" --strip-components=1)
}
unpack graphiql "$graphiql"
unpack react "$react"
unpack react-dom "$react"

# The source maps are not shipped, so nothing should ask for them.
for file in graphiql/graphiql.min.js react/umd/react.production.min.js react-dom/umd/react-dom.production.min.js; do
    sed '/^\/\/# sourceMappingURL=/d' "$work/$file" > "$here/$(basename "$file")"
done
# Embedded fonts are three quarters of the style sheet; the page uses the reader's own.
sed 's/@font-face *{[^}]*}//g' "$work/graphiql/graphiql.min.css" > "$here/graphiql.min.css"
cp "$work/graphiql/LICENSE" "$here/LICENSE.graphiql"
cp "$work/react/LICENSE" "$here/LICENSE.react"
