# $1: the directory to remove. Standard input: a line with a process group at each launch of the
# server, an empty line when the server has ended.
trap '' HUP INT TERM
group=
while read -r line; do group=$line; done

# The pipe is closed: the owner has died, or dropped the server.
if [ -n "$group" ]; then kill -s KILL -- "-$group"; fi

# A process that was just killed may hold its last file for a moment.
tries=0
until rm -rf -- "$1" || [ "$tries" -ge 100 ]; do
    tries=$((tries + 1))
    sleep 0.1
done
