package client

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/runagent-dev/runagent-go/internal/lease"
)

const (
	leaseTimeout = 3 * time.Second
	healthPath   = homePath + "/health"
)

// localServers are servers of one agent on this machine, none of which was asked yet.
type localServers struct {
	agentID string
	leases  []lease.Lease // At least one, the newest first.
}

// A leaseState is what asking at a lease's address has shown.
type leaseState int

const (
	serverLives  leaseState = iota
	serverEnded             // Nobody is there, or another program.
	serverSilent            // Somebody is there who does not answer: a server that hangs, perhaps.
)

// localAddress returns the address that stands for the servers of an agent that have leases.
func localAddress(agentID string, transport Transport) (address, *Error) {
	if agentID == "" {
		return address{}, invalid("agent_id", "Name the agent to look up on this machine.")
	}
	var leases []lease.Lease
	var ignored []string
	// Without a home folder there is nothing that could be served from it.
	if folder, err := lease.Folder(); err == nil {
		leases, ignored = lease.Read(folder)
	}
	servers := &localServers{agentID: agentID}
	for _, one := range leases {
		if _, serves := one.Agent(agentID); serves {
			servers.leases = append(servers.leases, one)
		}
	}
	if len(servers.leases) == 0 {
		message := "Agent `" + agentID + "` is not served on this machine."
		if len(ignored) > 0 {
			message += " These leases were ignored: " + strings.Join(ignored, " ")
		}
		return address{}, &Error{
			Reason:  ReasonAgentNotFound,
			Message: message,
			Suggestion: "Serve it with `runagent serve PATH`, or give host and port, or set " + baseURLVariable +
				" and look it up there (without local).",
		}
	}
	newest := servers.leases[0]
	return address{
		host: newest.Host, port: newest.Port(), tls: newest.TLS, transport: transport, servers: servers,
	}, nil
}

// living returns the address of the newest server that lives, and what to speak there.
func (s *localServers) living(ctx context.Context, transport Transport, o *options) (address, *Error) {
	unavailable := s.leases[0]
	silent := false
	for _, one := range s.leases {
		switch s.ask(ctx, one, o) {
		case serverLives:
			return addressOfLease(one, transport)
		case serverSilent:
			// A server that hangs may be helped; it goes before those that ended.
			if !silent {
				unavailable, silent = one, true
			}
		}
		if ctx.Err() != nil {
			return address{}, contextError(ctx)
		}
	}
	agent, _ := unavailable.Agent(s.agentID)
	command := "`" + strings.TrimSuffix("runagent serve "+agent.Path, " ") + "`."
	failure := &Error{Reason: ReasonConnectionError}
	server := "The server of agent `" + s.agentID + "` (process " + strconv.Itoa(unavailable.PID) + ")"
	if silent {
		failure.Message = server + " does not answer."
		failure.Suggestion = "Wait until it does, or stop it and start it again with " + command
	} else {
		failure.Message = server + " has ended without an orderly stop."
		failure.Suggestion = "Start it again with " + command
	}
	return address{}, failure
}

func addressOfLease(from lease.Lease, transport Transport) (address, *Error) {
	ports := []*int{from.GRPCPort, from.HTTPPort}
	speaks := []Transport{TransportGRPC, TransportHTTP}
	for i, port := range ports {
		if port != nil && (transport == TransportAuto || transport == speaks[i]) {
			return address{
				host: from.Host, port: *port, tls: from.TLS, transport: speaks[i], asked: true, resumable: true,
			}, nil
		}
	}
	return address{}, invalid(
		"transport", "The server, process %d, does not speak %q; leave the transport out.", from.PID, transport,
	)
}

// ask asks at a lease's address whether its server lives: it does if who answers names the same instance. The question
// carries no key, since another program may have the port by now.
func (s *localServers) ask(ctx context.Context, about lease.Lease, o *options) leaseState {
	ctx, cancel := context.WithTimeout(ctx, leaseTimeout)
	defer cancel()
	at := address{host: about.Host, port: about.Port(), tls: about.TLS}
	askAt := askHTTP
	if about.HTTPPort == nil {
		askAt = askGRPC
	}
	same, err := askAt(ctx, at, about.InstanceID, o)
	switch {
	case same:
		return serverLives
	case err != nil && ctx.Err() != nil:
		return serverSilent
	}
	return serverEnded
}

// askHTTP asks for the health of a server, which names its instance.
func askHTTP(ctx context.Context, at address, instanceID string, o *options) (bool, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, httpURL(at, healthPath), nil)
	if err != nil {
		return false, err
	}
	request.Close = true
	web := newHTTPClient(at, o)
	defer web.CloseIdleConnections()
	response, err := web.Do(request)
	if err != nil {
		return false, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes))
	if err != nil {
		return false, err
	}
	var answer struct {
		InstanceID string `json:"instance_id"`
	}
	return json.Unmarshal(body, &answer) == nil && answer.InstanceID == instanceID, nil
}

// askGRPC asks for the health of a service that is named after the instance.
func askGRPC(ctx context.Context, at address, instanceID string, o *options) (bool, error) {
	trust := insecure.NewCredentials()
	if at.tls {
		trust = credentials.NewTLS(o.tlsConfig(at.host))
	}
	settings := []grpc.DialOption{grpc.WithTransportCredentials(trust), grpc.WithUserAgent(userAgent)}
	if at.isLoopback() {
		settings = append(settings, grpc.WithNoProxy())
	}
	channel, err := grpc.NewClient("dns:///"+at.String(), settings...)
	if err != nil {
		return false, err
	}
	defer func() { _ = channel.Close() }()
	health := grpc_health_v1.NewHealthClient(channel)
	answer, err := health.Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: instanceID})
	// Serving or about to stop: either way the server has a service of this name.
	return err == nil && answer.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVICE_UNKNOWN, err
}
