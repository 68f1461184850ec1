import com.fasterxml.jackson.databind.ObjectMapper;
import java.util.HashMap;
import java.util.Map;
import java.util.function.BooleanSupplier;
import org.sourcelab.kafka.connect.apiclient.Configuration;
import org.sourcelab.kafka.connect.apiclient.KafkaConnectClient;
import org.sourcelab.kafka.connect.apiclient.request.dto.ConnectorPluginConfigDefinition;
import org.sourcelab.kafka.connect.apiclient.request.dto.NewConnectorDefinition;

/** A Java client of Kafka Connect drives a worker: args[0] is its URL, args[1] a connector's configuration. */
public class Clients {
    public static void main(String[] args) throws Exception {
        @SuppressWarnings("unchecked")
        Map<String, String> config = new HashMap<>(new ObjectMapper().readValue(args[1], Map.class));
        KafkaConnectClient client = new KafkaConnectClient(new Configuration(args[0]));
        check(client.getConnectServerVersion().getVersion().startsWith("3."), "version");
        client.addConnector(NewConnectorDefinition.newBuilder().withName("java").withConfig(config).build());
        await(() -> state(client).equals("RUNNING"));
        check(client.getConnectors().contains("java"), "list");
        check(client.getConnectorsWithAllExpandedMetadata().getAllStatuses().size() == 1, "expanded");
        config.put("name", "java");
        check(client.getConnectorConfig("java").equals(config), "config");
        config.put("tasks.max", "2");
        check(client.updateConnectorConfig("java", config).getConfig().equals(config), "update");
        check(client.pauseConnector("java"), "pause");
        await(() -> client.getConnectorStatus("java").getConnector().get("state").equals("PAUSED"));
        check(client.resumeConnector("java"), "resume");
        await(() -> state(client).equals("RUNNING"));
        check(client.restartConnector("java"), "restart");
        check(!client.getConnectorTasks("java").isEmpty(), "tasks");
        check(client.getConnectorTaskStatus("java", 0).getState().equals("RUNNING"), "task");
        check(client.restartConnectorTask("java", 0), "restart of a task");
        check(!client.getConnectorTopics("java").getTopics().isEmpty(), "topics");
        check(!client.getConnectorPlugins().isEmpty(), "plugins");
        int errors = client.validateConnectorPluginConfig(ConnectorPluginConfigDefinition.newBuilder()
            .withName(config.get("connector.class")).withConfig(config).build()).getErrorCount();
        check(errors == 0, "validation");
        check(client.deleteConnector("java"), "delete");
        await(() -> !client.getConnectors().contains("java"));
        System.out.println("done");
    }

    private static String state(KafkaConnectClient client) {
        return client.getConnectorStatus("java").getTasks().get(0).getState();
    }

    private static void await(BooleanSupplier holds) throws InterruptedException {
        long end = System.nanoTime() + 60_000_000_000L;
        while (!holds.getAsBoolean()) {
            check(System.nanoTime() < end, "in time");
            Thread.sleep(50);
        }
    }

    private static void check(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }
}
