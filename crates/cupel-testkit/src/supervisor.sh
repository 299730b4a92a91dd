# Runs a server for as long as somebody holds the other end of standard input.
#
#   sh -c SCRIPT supervisor FOLDER SIGNAL TENTHS COMMAND...
#
# The end comes when the holder closes the pipe, or ends in any way: the kernel closes it then.
# The server gets SIGNAL, and after TENTHS tenths of a second SIGKILL; its folder is removed.
# A server that ends by itself leaves its status in FOLDER/exit, and its log to be read.
folder=$1 signal=$2 tenths=$3
shift 3
exec 3<&0

"$@" </dev/null >"$folder/log" 2>&1 3<&- &
server=$!

(
    read -r _ <&3
    # Once it has ended, its number may belong to somebody else.
    [ -e "$folder/exit" ] || kill -s "$signal" "$server"
    while [ ! -e "$folder/exit" ]; do
        [ "$tenths" -ne 0 ] || kill -s KILL "$server"
        tenths=$((tenths - 1))
        sleep 0.1
    done
) >/dev/null 2>&1 &
holder=$!

wait "$server"
echo "$?" >"$folder/exit"
wait "$holder"
rm -rf "$folder"
