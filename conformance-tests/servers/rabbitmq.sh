# Runs a RabbitMQ node in the foreground that shares nothing with another one of this machine.
#
# PORT is where it listens, FOLDER holds all that it writes, LOGIN and PASSWORD are its first user, SETTINGS are
# more lines of its configuration, and PLUGINS are the plug-ins that it loads, with commas in between.
set -e
# Debian's start script on the path insists on the user `rabbitmq` and on its folders, so it is the one behind it.
for behind in /usr/lib/rabbitmq/lib/*/sbin/rabbitmq-server; do
  if [ -f "$behind" ]; then server=$behind; fi
done
server=${server:-$(command -v rabbitmq-server)}
mkdir -p "$FOLDER/mnesia" "$FOLDER/log"
export HOME="$FOLDER" RABBITMQ_NODENAME="bananas-$PORT@localhost"
export RABBITMQ_NODE_IP_ADDRESS=127.0.0.1 RABBITMQ_NODE_PORT="$PORT"
export RABBITMQ_DIST_PORT=$((PORT - 12000)) ERL_EPMD_ADDRESS=127.0.0.1 ERL_EPMD_PORT=$((PORT - 6000))
# Only loopback between nodes, and no thread that spins while it has nothing to do.
export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none"
export RABBITMQ_MNESIA_BASE="$FOLDER/mnesia" RABBITMQ_LOG_BASE="$FOLDER/log" RABBITMQ_PID_FILE="$FOLDER/pid"
export RABBITMQ_ENABLED_PLUGINS_FILE="$FOLDER/plugins" RABBITMQ_CONFIG_FILE="$FOLDER/rabbitmq"
export RABBITMQ_CONF_ENV_FILE=/dev/null
echo "[$PLUGINS]." > "$FOLDER/plugins"
cat > "$FOLDER/rabbitmq.conf" <<END
listeners.tcp.1 = 127.0.0.1:$PORT
default_user = $LOGIN
default_pass = $PASSWORD
vm_memory_high_watermark.absolute = 3GB
disk_free_limit.absolute = 500MB
log.console = true
log.console.level = error
$SETTINGS
END
# A port mapper of its own: Erlang would start one outside of our group, and leave it behind.
epmd -port "$ERL_EPMD_PORT" -address 127.0.0.1 &
exec "$server"
