#!/bin/sh
exec "$TREE_LOADER" --library-path "$TREE_LIBRARIES" "$TREE_SERVER" "$@"
