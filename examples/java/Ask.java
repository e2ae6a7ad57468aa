// A stream and its citations: java Ask ADDRESS ROUTE QUESTION (docs/clients.md tells how the classes are generated).
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Metadata;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.MetadataUtils;
import java.util.Iterator;
import java.util.concurrent.TimeUnit;
import trivet.api.v1.InferenceGrpc;
import trivet.api.v1.InferenceOuterClass.GenerateRequest;
import trivet.api.v1.InferenceOuterClass.GenerateStreamResponse;
import trivet.api.v1.InferenceOuterClass.Message;

public final class Ask {
  public static void main(String[] arguments) {
    // For a server with TLS: Grpc.newChannelBuilder(address, TlsChannelCredentials.newBuilder().trustManager(caFile).build()).
    ManagedChannel channel = ManagedChannelBuilder.forTarget(arguments[0]).usePlaintext().build();
    try {
      Message message = Message.newBuilder().setRole("user").setContent(arguments[2]).build();
      ask(channel, GenerateRequest.newBuilder().setRoute(arguments[1]).addMessages(message).build());
      ask(channel, GenerateRequest.newBuilder().setRoute("no-such-route").addMessages(message).build());
    } finally {
      channel.shutdownNow();
    }
  }

  private static void ask(ManagedChannel channel, GenerateRequest request) {
    Metadata metadata = new Metadata();
    String key = System.getenv("TRIVET_KEY");
    if (key != null) {
      metadata.put(Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER), "Bearer " + key);
    }
    InferenceGrpc.InferenceBlockingStub client =
        InferenceGrpc.newBlockingStub(channel)
            .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(metadata))
            .withDeadlineAfter(30, TimeUnit.SECONDS); // the server stops then, too
    try {
      Iterator<GenerateStreamResponse> events = client.generateStream(request);
      while (events.hasNext()) {
        GenerateStreamResponse event = events.next();
        System.out.print(event.getDelta().getText());
        if (event.hasFinal()) {
          System.out.println();
          event.getFinal().getCitationsList().forEach(
              citation -> System.out.println(citation.getDocumentId() + ": " + citation.getTitle()));
        }
      }
    } catch (StatusRuntimeException error) {
      System.out.println(error.getStatus().getCode() + ": " + error.getStatus().getDescription());
    }
  }
}
