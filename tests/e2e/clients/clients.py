"""Two Python clients of Kafka Connect drive a worker: argv[1] is its URL, argv[2] a connector's configuration."""
import json
import sys
import time

from kafka_connect import KafkaConnect
from kafkaconnect.connect import Connect

url, config = sys.argv[1], json.loads(sys.argv[2])


def wait(holds):
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end, "in time"
        time.sleep(0.05)


one = KafkaConnect(url)
assert one.get_cluster_info()["version"].startswith("3.")
assert one.create_connector({"name": "py", "config": config})["name"] == "py"
wait(lambda: one.get_connector_status("py")["tasks"][0]["state"] == "RUNNING")
assert "py" in one.list_connectors() and one.list_connectors(state="running")
assert one.get_connector_config("py") == {**config, "name": "py"}
assert one.update_connector("py", {**config, "tasks.max": "2"})["config"]["tasks.max"] == "2"
one.pause_connector("py")
wait(lambda: one.get_connector_status("py")["connector"]["state"] == "PAUSED")
one.resume_connector("py")
wait(lambda: one.get_connector_status("py")["tasks"][0]["state"] == "RUNNING")
one.stop_connector("py")
wait(lambda: one.get_connector_status("py")["connector"]["state"] == "STOPPED")
one.resume_connector("py")
one.restart_connector("py", include_tasks=True, only_failed=True)
assert [task["id"]["task"] for task in one.list_connector_tasks("py")][0] == 0
one.restart_connector_task("py", 0)
assert one.list_connector_topics("py")["py"]["topics"]
plugin = config["connector.class"]
assert plugin in [each["class"] for each in one.list_connector_plugins()]
assert one.validate_connector_config(plugin, {**config, "name": "py"})["error_count"] == 0
one.delete_connector("py")
wait(lambda: "py" not in one.list_connectors())

other = Connect(url)
assert json.loads(other.create_or_update("kc", json.dumps(config)))["name"] == "kc"
wait(lambda: json.loads(other.status("kc"))["tasks"][0]["state"] == "RUNNING")
assert "kc" in json.loads(other.list()) and json.loads(other.info("kc"))["type"] == "sink"
assert json.loads(other.config("kc"))["name"] == "kc" and json.loads(other.tasks("kc")) and json.loads(other.topics("kc"))
assert json.loads(other.plugins())
other.pause("kc")
other.resume("kc")
other.restart("kc")
assert json.loads(other.validate(plugin, json.dumps({**config, "name": "kc"})))["error_count"] == 0
other.remove("kc")
wait(lambda: "kc" not in json.loads(other.list()))
print("done")
