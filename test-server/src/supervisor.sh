# $1: the directory to remove. Standard input: a line with a process group at each launch of the
# server, an empty line when the server has ended.
trap '' HUP INT TERM
group=
while read -r line; do group=$line; done

# Prints the children of process $1. Those of PostgreSQL are in sessions of their own.
children() {
    for stat in /proc/[0-9]*/stat; do
        read -r line <"$stat" || continue
        # After the name in brackets: state, parent.
        line=${line##*) }
        line=${line#* }
        [ "${line%% *}" != "$1" ] || echo "$stat" | cut -d / -f 3
    done
}

# The pipe is closed: the owner has died, or dropped the server.
if [ -n "$group" ]; then
    # A frozen process starts no further children.
    kill -s STOP -- "-$group"
    children=$(children "$group")
    [ -z "$children" ] || kill -s KILL $children
    kill -s KILL -- "-$group"
fi

# A killed PostgreSQL leaves a segment of shared memory, with its number in this file.
if [ -e "$1/data/postmaster.pid" ]; then
    ipcrm -m "$(sed -n '7s/.* //p' "$1/data/postmaster.pid")"
fi

# A process that was just killed may hold its last file for a moment.
tries=0
until rm -rf -- "$1" || [ "$tries" -ge 100 ]; do
    tries=$((tries + 1))
    sleep 0.1
done
