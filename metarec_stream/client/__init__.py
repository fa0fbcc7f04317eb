"""For programs that post interactions or read recommendations."""

from metarec_stream.client.producer import InteractionProducer
from metarec_stream.client.subscriber import RecommendationSubscriber

__all__ = ["InteractionProducer", "RecommendationSubscriber"]
