"""The entity."""

from datawald.domain.entity import Amount, Canonical, Entity


class Coupon(Canonical):
    code: str
    percent: Amount


ENTITY = Entity(name="coupon", plural="coupons", model=Coupon, lane="bulk", source_side="frontend")
