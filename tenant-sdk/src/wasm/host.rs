//! The host's imports as a [`Host`].
//!
//! Two types, so that a node component does not import `nodes`, which its role may not call.

use super::convert::{node_output, to_id, to_message, to_node_input};
use crate::bindings::chain::fapo::tenant::{log, nodes, provider, retrieval};
use crate::host::{
    FinishReason, GenerateRequest, Generation, Hit, Host, LogLevel, NodeError, NodeOutput, NodeRequest, ProviderError,
    RetrievalError, SearchRequest,
};

/// What a chain may call.
pub(super) struct ChainHost;

/// What a node may call.
pub(super) struct NodeHost;

impl Host for ChainHost {
    fn generate(&mut self, requests: Vec<GenerateRequest>) -> Vec<Result<Generation, ProviderError>> {
        generate(requests)
    }

    fn search(&mut self, requests: Vec<SearchRequest>) -> Vec<Result<Vec<Hit>, RetrievalError>> {
        search(requests)
    }

    fn call_nodes(&mut self, requests: Vec<NodeRequest>) -> Vec<Result<NodeOutput, NodeError>> {
        let request = |request: NodeRequest| nodes::NodeRequest {
            component: request.component,
            input: to_node_input(request.input),
        };
        let requests: Vec<_> = requests.into_iter().map(request).collect();
        let error = |error| match error {
            nodes::NodeError::Denied(what) => NodeError::Denied(what),
            nodes::NodeError::Fault(fault) => NodeError::Fault(fault.message),
            nodes::NodeError::Stopped(limit) => NodeError::Stopped(limit),
        };
        nodes::call_batch(&requests).into_iter().map(|answer| answer.map(node_output).map_err(error)).collect()
    }

    fn log(&mut self, level: LogLevel, message: &str) {
        write(level, message);
    }
}

impl Host for NodeHost {
    fn generate(&mut self, requests: Vec<GenerateRequest>) -> Vec<Result<Generation, ProviderError>> {
        generate(requests)
    }

    fn search(&mut self, requests: Vec<SearchRequest>) -> Vec<Result<Vec<Hit>, RetrievalError>> {
        search(requests)
    }

    fn call_nodes(&mut self, requests: Vec<NodeRequest>) -> Vec<Result<NodeOutput, NodeError>> {
        requests.into_iter().map(|request| Err(NodeError::Denied(request.component))).collect()
    }

    fn log(&mut self, level: LogLevel, message: &str) {
        write(level, message);
    }
}

fn generate(requests: Vec<GenerateRequest>) -> Vec<Result<Generation, ProviderError>> {
    let request = |request: GenerateRequest| provider::GenerateRequest {
        id: to_id(request.id),
        model: request.model,
        messages: request.messages.into_iter().map(to_message).collect(),
        output_tokens_max: request.output_tokens_max,
        stop: request.stop,
    };
    let requests: Vec<_> = requests.into_iter().map(request).collect();
    let reply = |reply: provider::Generation| Generation {
        text: reply.text,
        finish: match reply.finish {
            provider::FinishReason::Stop => FinishReason::Stop,
            provider::FinishReason::Length => FinishReason::Length,
            provider::FinishReason::Filtered => FinishReason::Filtered,
            provider::FinishReason::Other => FinishReason::Other,
        },
    };
    let error = |error| match error {
        provider::ProviderError::Denied(what) => ProviderError::Denied(what),
        provider::ProviderError::InvalidRequest(why) => ProviderError::InvalidRequest(why),
        provider::ProviderError::ContextTooLong => ProviderError::ContextTooLong,
        provider::ProviderError::Refused(why) => ProviderError::Refused(why),
    };
    provider::generate_batch(&requests).into_iter().map(|answer| answer.map(reply).map_err(error)).collect()
}

fn search(requests: Vec<SearchRequest>) -> Vec<Result<Vec<Hit>, RetrievalError>> {
    let request = |request: SearchRequest| retrieval::SearchRequest {
        id: to_id(request.id),
        index: request.index,
        query: request.query,
        k: request.k,
    };
    let requests: Vec<_> = requests.into_iter().map(request).collect();
    let hit =
        |hit: retrieval::Hit| Hit { passage_id: hit.passage_id, title: hit.title, text: hit.text, score: hit.score };
    let error = |error| match error {
        retrieval::RetrievalError::Denied(what) => RetrievalError::Denied(what),
        retrieval::RetrievalError::InvalidRequest(why) => RetrievalError::InvalidRequest(why),
    };
    let hits = |hits: Vec<retrieval::Hit>| hits.into_iter().map(hit).collect();
    retrieval::search_batch(&requests).into_iter().map(|answer| answer.map(hits).map_err(error)).collect()
}

fn write(level: LogLevel, message: &str) {
    let level = match level {
        LogLevel::Debug => log::Level::Debug,
        LogLevel::Info => log::Level::Info,
        LogLevel::Warn => log::Level::Warn,
    };
    log::write(level, message);
}
