#!/bin/sh
# A driver for changes that are made once, like a migration (protocol two-key.driver/1): for each lease it runs a command when the
# lease goes to 100 %, and keeps in a folder that it did.
#   exec: {program: /usr/local/lib/two-key/once.sh, args: [/var/lib/two-key/orders, /usr/local/bin/migrate, --all]}
# What was made stays made: a rollback says that it cannot be restored.
set -eu
PATH=/usr/bin:/bin
export PATH
made=$1
shift
request=$(cat)

text() { printf '%s' "$request" | sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }
say() { printf '{"status":"%s"%s}\n' "$1" "${2:-}"; }
lease=$made/$(text lease)
seen() { if [ -e "$lease" ]; then echo ',"observed":{"weight_bp":10000,"version":null}'; else echo ',"observed":{"weight_bp":0,"version":null}'; fi; }

case $(text verb) in
capabilities) say ok ',"verbs":["observe","plan","apply","snapshot","restore","verify"],"reversible":false' ;;
observe) say ok "$(seen)" ;;
plan) say ok ;;
apply)
  case $request in
  *'"desired":{"weight_bp":10000,'*)
    # Whoever is killed in the middle leaves it begun, and nobody makes it a second time.
    if [ ! -e "$lease" ]; then
      if mkdir "$lease.begun" 2>/dev/null && "$@" >&2; then
        mv "$lease.begun" "$lease"
      else
        say failed ',"message":"it was begun and has not ended well: look, then remove the folder that ends in .begun"'
        exit 0
      fi
    fi
    ;;
  esac
  say ok "$(seen)"
  ;;
snapshot) say ok ',"snapshot":""' ;;
restore | verify) say failed ',"message":"what was made stays made"' ;;
*) say unsupported ;;
esac
