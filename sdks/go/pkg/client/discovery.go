package client

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"time"
)

const (
	probeTimeout   = time.Second
	maxAnswerBytes = 64 * 1024
	homePath       = "/api/v1"
)

// How an HTTP/2 connection begins on either side: with a frame of settings, the client's behind its preface (RFC 9113).
const (
	settingsFrame  = 4
	frameHeadBytes = 9
	hello          = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
)

// find returns the address to speak to, and what to speak: gRPC, unless its transport is HTTP. A gRPC port that the
// server names and that nothing can reach, behind a firewall perhaps, is passed over. Of the servers of
// this machine that have leases, it is the newest that lives.
func find(ctx context.Context, at address, o *options) (address, *Error) {
	if at.servers != nil {
		return at.servers.living(ctx, at.transport, o)
	}
	if at.transport != TransportAuto {
		return at, nil
	}
	found, ok := ask(ctx, at, o)
	if !ok {
		// A proxy answers the question with errors of its own, so that no answer, or another one, means gRPC.
		at.transport = TransportGRPC
		return at, nil
	}
	if found.transport == TransportGRPC && !speaksHTTP2(ctx, found, o) {
		at.transport, at.asked, at.resumable = TransportHTTP, found.asked, found.resumable
		return at, nil
	}
	return found, nil
}

// ask asks the server at an address what it speaks. Only a JSON object decides (docs/design.md, discovery): one that
// names a gRPC port leads there, on the same host, for an answer must not send a key elsewhere, nor in clear where the
// caller asked for TLS; any other is that of a server that speaks REST and WebSocket.
func ask(ctx context.Context, at address, o *options) (address, bool) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, httpURL(at, homePath), nil)
	if err != nil {
		return address{}, false
	}
	setHeaders(request.Header, o.apiKey)
	request.Close = true
	web := newHTTPClient(at, o)
	defer web.CloseIdleConnections()
	response, err := web.Do(request)
	if err != nil {
		return address{}, false
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes))
	if err != nil {
		return address{}, false
	}
	answer := objectIn(body)
	if answer == nil || response.StatusCode != http.StatusOK && !refusesKey(answer) {
		return address{}, false
	}
	return told(at, answer), true
}

// told returns the address that an answer leads to.
func told(at address, answer map[string]json.RawMessage) address {
	at.asked = true
	var named struct {
		Port int
		TLS  bool
	}
	if objectIn(answer["grpc"]) != nil && json.Unmarshal(answer["grpc"], &named) == nil && named.Port > 0 && named.Port < 65536 {
		at.port, at.tls = named.Port, at.tls || named.TLS
		at.transport, at.resumable = TransportGRPC, true
		return at
	}
	at.transport, at.resumable = TransportHTTP, isResumable(answer)
	return at
}

// isResumable reports whether a server's description of itself is that of one that can take up calls and streams. Ours can.
func isResumable(home map[string]json.RawMessage) bool {
	return objectIn(home["grpc"]) != nil || string(home["resumable"]) == "true"
}

// refusesKey reports whether an answer is how a RunAgent server says that the key is missing or wrong. It will say so to
// the call, too.
func refusesKey(answer map[string]json.RawMessage) bool {
	code := textIn(objectIn(answer["error"]), "code")
	return code == string(CodeAuthentication) || code == string(CodePermission)
}

// speaksHTTP2 reports whether somebody at the address does, within a second.
func speaksHTTP2(ctx context.Context, at address, o *options) bool {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	var dialer net.Dialer
	connection, err := dialer.DialContext(ctx, "tcp", at.String())
	if err != nil {
		return false
	}
	defer func() { _ = connection.Close() }()
	if deadline, ok := ctx.Deadline(); ok {
		_ = connection.SetDeadline(deadline)
	}
	if at.tls {
		secure := tls.Client(connection, o.tlsConfig(at.host, "h2"))
		if secure.HandshakeContext(ctx) != nil {
			return false
		}
		connection = secure
	}
	if _, err := io.WriteString(connection, hello); err != nil {
		return false
	}
	head := make([]byte, frameHeadBytes)
	_, err = io.ReadFull(connection, head)
	return err == nil && head[3] == settingsFrame
}
