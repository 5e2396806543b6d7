// Package client calls the entrypoints of RunAgent agents, for one value or for a stream of chunks.
//
//	c, err := client.NewWithAddress("quickstart", "chat_stream", false, "localhost", 8450)
//	if err != nil {
//		return err
//	}
//	defer c.Close()
//
//	stream, err := c.RunStream(ctx, map[string]interface{}{"message": "Tell me a story"})
//	if err != nil {
//		return err
//	}
//	for chunk, err := range stream.All(ctx) {
//		if err != nil {
//			return err
//		}
//		fmt.Print(chunk)
//	}
//
// # Connections
//
// A client asks the address that it is given what is spoken there: gRPC, where the server offers it, else REST and
// WebSocket. A connection that is cut, or falls silent, is made again. Calls carry an id by which the server knows them,
// so that nothing runs twice, and a stream goes on behind the last chunk that came: every chunk once, in order, or one
// error that says why not.
//
// # Contexts
//
// The context of Run, RunStream and Resume governs the whole call, a stream to its last chunk: its deadline bounds the
// work on the server, and who cancels it has left on purpose, which cancels the work, too. The context that Next is
// given bounds that one wait, and changes nothing about the stream.
//
// # Values
//
// Strings and bytes travel as they are, other values as JSON. An integer arrives as int64, and as *big.Int where it
// is larger; a number with a fraction or an exponent as float64; arrays and objects as []interface{} and
// map[string]interface{}. Nothing is rounded, and 1 stays different from 1.0, in arguments as in results: float64(1)
// is sent as 1.0. Structs are sent as encoding/json writes them.
//
// # Errors
//
// Every error is an [*Error]. Programs branch on its [Reason], or on its coarser [Code]; both can be asked for:
//
//	if errors.Is(err, client.ReasonEntrypointNotFound) { … }
package client
