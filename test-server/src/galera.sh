#!/bin/sh
# Galera's script for the transfer of data between nodes (wsrep_sst_same), on both sides. All nodes
# of a test start with the same data, so only the position in the history is sent, in a file beside
# this script.
position=$(dirname "$0")/position
while [ $# -gt 0 ]; do
    case $1 in
    --role) role=$2 ;;
    --gtid) gtid=$2 ;;
    esac
    shift
done
case $role in
joiner)
    rm -f "$position"
    echo "ready 127.0.0.1:1"
    until [ -s "$position" ]; do sleep 0.02; done
    cat "$position"
    ;;
donor)
    echo "$gtid" >"$position.new"
    mv "$position.new" "$position"
    echo "done $gtid"
    ;;
esac
