// What navigation and palette say of these areas; the rest of their words comes with their pages.
export default {
  gateways: "Gateways",
  newGateway: "Add a gateway",
  agents: "Agents",
  newAgent: "New agent",
  skills: "Skills",
  packs: "Skill packs",
  newPack: "Add a skill pack",
  newSkill: "Add a skill",
  tags: "Tags",
  newTag: "New tag",
  fields: "Custom fields",
  newField: "New custom field",
  start: "First steps",
};
