// A stream and an error's reason: go run . ADDRESS ROUTE QUESTION (docs/clients.md tells how the package pb is generated).
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	pb "example/trivet"
)

// stream prints the deltas and returns the final message, with the answer, its citations and its receipt.
func stream(client pb.InferenceClient, request *pb.GenerateRequest) (*pb.GenerateResponse, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second) // the server stops at the deadline, too
	defer cancel()
	if key := os.Getenv("TRIVET_KEY"); key != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+key)
	}
	events, err := client.GenerateStream(ctx, request)
	if err != nil {
		return nil, err
	}
	var final *pb.GenerateResponse
	for {
		event, err := events.Recv()
		if err == io.EOF {
			return final, nil
		}
		if err != nil {
			return nil, err
		}
		if event.GetFinal() != nil {
			final = event.GetFinal()
		}
		fmt.Print(event.GetDelta().GetText())
	}
}

// reason is what to branch on, such as UNKNOWN_ROUTE; empty where the error is gRPC's own.
func reason(err error) string {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info.Reason
		}
	}
	return ""
}

func main() {
	address, route, question := os.Args[1], os.Args[2], os.Args[3]
	// For a server with TLS: credentials.NewClientTLSFromFile("ca.pem", "").
	connection, err := grpc.Dial(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()
	client := pb.NewInferenceClient(connection)
	messages := []*pb.Message{{Role: "user", Content: question}}
	final, err := stream(client, &pb.GenerateRequest{Route: route, Messages: messages})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println()
	for number, citation := range final.Citations {
		fmt.Printf("[%d] %s: %s\n", number+1, citation.DocumentId, citation.Title)
	}
	fmt.Printf("%d tokens, request %s\n", final.Receipt.GetOutputTokens(), final.Receipt.RequestId)
	_, err = stream(client, &pb.GenerateRequest{Route: "no-such-route", Messages: messages})
	fmt.Printf("%s, reason %s: %s\n", status.Code(err), reason(err), status.Convert(err).Message())
}
