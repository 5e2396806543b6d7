"""The dialects of published and older clients."""
