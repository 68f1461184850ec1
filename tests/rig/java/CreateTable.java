import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.apache.hadoop.conf.Configuration;
import org.apache.iceberg.PartitionSpec;
import org.apache.iceberg.SchemaParser;
import org.apache.iceberg.catalog.TableIdentifier;
import org.apache.iceberg.hadoop.HadoopCatalog;

/** Makes an Iceberg table: warehouse, name, file with the schema as JSON. */
public class CreateTable {
    public static void main(String[] args) throws Exception {
        var schema = SchemaParser.fromJson(Files.readString(Path.of(args[2])));
        try (var catalog = new HadoopCatalog(new Configuration(), args[0])) {
            var properties = Map.of("write.parquet.compression-codec", "zstd");
            catalog.createTable(TableIdentifier.parse(args[1]), schema, PartitionSpec.unpartitioned(), properties);
        }
    }
}
