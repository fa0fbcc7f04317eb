"""What can be done while the demo stays up."""

from __future__ import annotations

from metarec_stream.config import Settings


def how_to_take_part(settings: Settings) -> str:
    """How to post an event and watch the answer, ready to be pasted."""
    servers, topics = settings.kafka.bootstrap_servers, settings.topics
    event = '{"user": "me", "item": "85123A", "type": "purchase"}'
    return f"""
Everything stays up until Ctrl-C. Watch what is recommended to you:

  metarec tail --user me --kafka.bootstrap-servers {servers} \\
    --topics.recommendations {topics.recommendations}

and, in another terminal, post an event with any Kafka client, the user being the key:

  echo 'me|{event}' | kcat -P -b {servers} -t {topics.interactions} \\
    -K '|' -X topic.partitioner=murmur2_random

or from Python:

  from metarec_stream.client import InteractionProducer
  from metarec_stream.contract.interaction import Interaction
  from metarec_stream.kafka.settings import TopicsSettings

  topics = TopicsSettings(interactions="{topics.interactions}")
  with InteractionProducer("{servers}", topics=topics) as producer:
      producer.post(Interaction(user="me", item="85123A", type="purchase"))

Metrics: http://127.0.0.1:{settings.http.port}/metrics (consumer) and
http://127.0.0.1:{settings.http.learner_port}/metrics (learner).
"""
