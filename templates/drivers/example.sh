#!/bin/sh
# An example of a driver for git two-key (protocol two-key.driver/1): it keeps a weight in the file that is its argument.
# Try it: git two-key driver-test /path/to/example.sh /tmp/weight
#
# One JSON request comes on standard input, one JSON answer goes to standard output, standard error is a log. A real one
# is better written where JSON is at home; this one shows how little is asked for.
set -eu
PATH=/usr/bin:/bin
export PATH
state=$1
request=$(cat)

text() { printf '%s' "$request" | sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }
here() { cat "$state" 2>/dev/null || printf '{"weight_bp":0,"version":null}'; }
# Whoever is killed in the middle leaves the old weight or the new one, never half of one.
put() { cat >"$state.new" && mv "$state.new" "$state"; }
say() { printf '{"status":"%s"%s}\n' "$1" "${2:-}"; }

case $(text verb) in
capabilities)
  say ok ',"verbs":["observe","plan","apply","snapshot","restore","verify"],"reversible":true'
  ;;
observe) say ok ",\"observed\":$(here)" ;;
plan) say ok ;;
apply)
  wanted=$(printf '%s' "$request" | sed -n 's/.*"desired":{"weight_bp":\([0-9]*\),"version":\([^,}]*\).*/{"weight_bp":\1,"version":\2}/p')
  [ -n "$wanted" ] || { say failed ',"message":"nothing is desired"'; exit 0; }
  # Idempotent by what is desired: what is there already is not written again.
  [ "$(here)" = "$wanted" ] || printf '%s' "$wanted" | put
  say ok ",\"observed\":$(here)"
  ;;
snapshot) say ok ",\"snapshot\":\"$(here | base64 | tr -d '\n')\"" ;;
restore)
  text snapshot | base64 -d | put
  say ok ",\"observed\":$(here)"
  ;;
verify)
  if [ "$(text snapshot | base64 -d)" = "$(here)" ]; then say ok; else say failed ',"message":"it is another weight"'; fi
  ;;
*) say unsupported ;;
esac
