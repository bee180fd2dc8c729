"""The contract net over the wire: `Initiator` awards work, `Participant` bids for it and does it.

The decisions are in `mesh.protocols` (auction, commitment, selection); here they meet subjects, actors and the directory.
"""
